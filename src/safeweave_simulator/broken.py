"""How the simulation says that a law does not hold."""


class Broken(BaseException):
    """A law does not hold: which one, and where. No handler may take it for a failure of its own."""

    def __init__(self, law: str, detail: object) -> None:
        super().__init__(f"{law}: {detail}")
        self.law, self.detail = law, detail
