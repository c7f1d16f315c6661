"""Whether our account at a CA can be used, found out without changing anything there."""

from typing import Any

from issuer.ca import meanings, problems
from issuer.ca.account import ENDED_STATES, AccountKeeper
from issuer.ca.signing import Signer
from issuer.ca.transport import Answer, Refusal
from issuer.ports import CaAccount
from issuer.problem import Problem, ProblemType

UNKNOWN_ACCOUNT = "accountDoesNotExist"


class InspectedAccount(AccountKeeper):
    """The account, which can be asked for."""

    def require_usable(self, meta: dict[str, Any]) -> None:
        """See `ports.CertificateAuthority.require_account`. meta: the CA's metadata."""
        stored = self._accounts.ca_account(self._directory_url)
        if stored and stored.url and (answer := self._asked(stored)):
            if answer.json().get("status") in ENDED_STATES:
                raise self._deactivated(stored)
            return
        if meta.get("externalAccountRequired") is True and not self._policy.eab_key_id:
            cause = f"the CA {self._directory_url} wants an External Account Binding, and none is set"
            raise Problem(ProblemType.CA_SETTINGS, cause=cause, hint=meanings.BINDING)
        self._require_agreement(stored)

    def _asked(self, stored: CaAccount) -> Answer | None:
        """The CA's answer about the account; None if it does not know it, so that it is registered again by itself."""
        key = stored.next_key if stored.next_key and self._is_rolled_over(stored) else stored.key
        try:
            return self._post("newAccount", b'{"onlyReturnExisting": true}', Signer(self._key(key)))
        except Refusal as refusal:
            if refusal.type == UNKNOWN_ACCOUNT:
                return None
            if refusal.type == "unauthorized":
                raise self._deactivated(stored) from None
            raise problems.of_account(refusal, self._clock()) from None

    def _deactivated(self, stored: CaAccount) -> Problem:
        cause = f"our account at the CA {self._directory_url} is deactivated"
        hint = meanings.new_account(self._directory_url)
        return Problem(ProblemType.CA_ACCOUNT, stored.url or "", cause=cause, hint=hint)
