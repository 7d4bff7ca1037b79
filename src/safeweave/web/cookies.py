"""Over https every cookie is called `__Host-...` outside (RFC 6265bis): no other host and no plain http can set it.

Inside, and over http on one's own machine, it has its short name; a cookie that came without the prefix is not ours.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

OURS, PREFIX = "sw_", "__Host-"


class HostCookies:
    """Gives and takes the prefix between browser and pages."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    (
                        name,
                        PREFIX.encode() + value if name == b"set-cookie" and value.startswith(OURS.encode()) else value,
                    )
                    for name, value in message["headers"]
                ]
            await send(message)

        headers = [(name, within(value) if name == b"cookie" else value) for name, value in scope["headers"]]
        await self.app({**scope, "headers": headers}, receive, sending)


def within(header: bytes) -> bytes:
    """A Cookie header as the pages read it: ours without the prefix, and none that only looks like ours."""
    cookies = [each.strip() for each in header.decode("latin-1").split(";")]
    kept = [each.removeprefix(PREFIX) for each in cookies if not each.startswith(OURS)]
    return "; ".join(kept).encode("latin-1")
