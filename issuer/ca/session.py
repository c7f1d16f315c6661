"""Our conversation with one CA: requests that our account signs, to a URL or to a resource of the CA's directory."""

from typing import NotRequired, TypedDict, Unpack

from issuer.ca import problems
from issuer.ca.account import ACCOUNT_ERRORS
from issuer.ca.directory import Directory
from issuer.ca.meanings import Resource
from issuer.ca.signing import Signer
from issuer.ca.standing import InspectedAccount
from issuer.ca.transport import Answer, Refusal, Transport
from issuer.keys import Vault
from issuer.ports import CaAccounts, CaPolicy, Clock
from issuer.problem import Problem, ProblemType

NOT_FOUND = 404
POST_AS_GET = b""


class AccountOptions(TypedDict):
    """What our account at a CA needs: see `AccountKeeper`."""

    policy: CaPolicy
    vault: Vault
    clock: Clock
    contact: NotRequired[str]
    terms_agreed: NotRequired[bool]


class Session:
    """Directory, account and connection together."""

    def __init__(
        self, directory_url: str, accounts: CaAccounts, *, transport: Transport, **options: Unpack[AccountOptions]
    ) -> None:
        self.directory_url = directory_url
        self.clock = options["clock"]
        self.transport = transport
        self.directory = Directory(directory_url, transport, self.clock)
        self.keeper = InspectedAccount(
            directory_url,
            accounts,
            post=self.post_as,
            resource=self.directory.resource,
            terms=self._terms,
            **options,
        )

    def is_reachable(self) -> bool:
        """See `ports.CertificateAuthority`."""
        try:
            self.require_reachable()
        except Problem:
            return False
        return True

    def require_reachable(self) -> None:
        """See `ports.CertificateAuthority`."""
        self.directory.refresh()
        try:
            self.transport.fetch_nonce(self.directory.resource("newNonce"))
        except Refusal as refusal:
            raise problems.from_refusal(refusal, self.clock(), Resource.DIRECTORY) from None

    def fetch(self, url: str, resource: Resource) -> Answer:
        """A POST-as-GET (§6.3). Raises Problem, Problem(order-lost) if the CA does not know the URL."""
        try:
            return self.post(url, POST_AS_GET)
        except Refusal as refusal:
            if self.is_lost(refusal):
                raise Problem(ProblemType.ORDER_LOST, problems.words(refusal.problem)) from None
            raise problems.from_refusal(refusal, self.clock(), resource) from None

    def is_lost(self, refusal: Refusal) -> bool:
        """Whether the CA no longer has for us what was asked for: it does not know it, or it did not know our account,
        which is now registered again. Raises Problem."""
        if is_forgotten(refusal):
            return True
        return refusal.type in ACCOUNT_ERRORS and self.keeper.is_registered_again(refusal.account_url)

    def post(self, url: str, payload: bytes) -> Answer:
        """A signed POST to a URL. Raises Refusal, Problem."""
        return self.keeper.signed(lambda signer: self.post_to(url, payload, signer))

    def post_as(self, resource: str, payload: bytes, signer: Signer) -> Answer:
        """A POST to a resource of the directory, signed by `signer`. Raises Refusal, Problem."""
        return self.post_to(self.directory.resource(resource), payload, signer)

    def post_to(self, url: str, payload: bytes, signer: Signer) -> Answer:
        """A POST to a URL, signed by `signer`. Raises Refusal, Problem."""
        try:
            return self.transport.post(url, payload, signer, new_nonce_url=self.directory.resource("newNonce"))
        except Refusal as refusal:
            refusal.account_url = signer.url
            raise

    def _terms(self) -> str | None:
        """The URL of the CA's terms of service, if it has some (§7.1.1)."""
        url = self.directory.meta().get("termsOfService")
        return problems.plain(url) if isinstance(url, str) and url else None


def is_forgotten(refusal: Refusal) -> bool:
    """Whether the CA says that it does not know the resource; a 404 page of a proxy in front of it does not count."""
    return refusal.answer.status == NOT_FOUND and (bool(refusal.type) or not refusal.answer.body.strip())
