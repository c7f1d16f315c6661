"""Which CA is asked, and when: selection with failover, health (a circuit breaker), and the limits of each CA."""
