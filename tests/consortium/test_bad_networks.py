"""Whatever the network does, each document is handed over exactly once and in order."""

import asyncio
import random
import tempfile
from pathlib import Path

import httpx
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from consortium.given_consortium import City, Site
from safeweave.consortium import store


class Network(httpx.BaseTransport):
    """Carries requests to a door badly: loses them or their answers, brings them twice, late and in another order."""

    def __init__(self, to: Site, chance: random.Random) -> None:
        self.to, self.chance = to, chance
        self.late: list[tuple[str, str, bytes]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url, body = request.url.path, request.read()
        mood = self.chance.random()
        if mood < 0.15:
            raise httpx.ConnectError("lost on the way there")
        if mood < 0.3:
            self.late.append((request.method, url, body))
            raise httpx.ReadTimeout("held up on the way")
        answer = self.bring(request.method, url, body)
        if mood < 0.45:
            raise httpx.ReadError("the answer was lost")
        if mood < 0.6:
            answer = self.bring(request.method, url, body)
        if mood < 0.7:
            self.late.append((request.method, url, body))
        if mood < 0.73:
            return httpx.Response(502, content=b"<html>bad gateway</html>")
        return httpx.Response(answer.status_code, content=answer.content, headers={"retry-after": "1"})

    def bring(self, method: str, url: str, body: bytes) -> httpx.Response:
        async def knock() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.to.app), base_url=self.to.url) as door:
                return await door.request(method, url, content=body)

        return asyncio.run(knock())

    def bring_late(self, share: float) -> None:
        """Some of what was held up arrives now, in any order."""
        self.chance.shuffle(self.late)
        count = int(len(self.late) * share)
        arriving, self.late = self.late[:count], self.late[count:]
        for method, url, body in arriving:
            self.bring(method, url, body)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32 - 1))
@example(1)
@example(20261125)
def test_each_document_is_handed_over_exactly_once_and_in_order_whatever_the_network_does(seed):
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        city = City(Path(folder))
        consents = [city.consent() for _ in range(2)]
        networks = {}
        for site, to in ((city.hospital, city.insurer), (city.insurer, city.hospital)):
            networks[site.folder] = Network(to, chance)
            site.client = httpx.Client(transport=networks[site.folder])
            site.open()
        expected: dict[tuple[str, str], list[str]] = {}
        ids: list[tuple[Site, str]] = []

        for step in range(60):
            if step < 25:
                site, to = chance.choice([(city.hospital, city.insurer), (city.insurer, city.hospital)])
                n = chance.randrange(2)
                content = f"{step}"
                ids.append((site, site.put(to, consents[n], content, exchange=f"exchange {n}")))
                expected.setdefault((to.folder.name, f"exchange {n}"), []).append(content)
            for site in (city.hospital, city.insurer):
                if chance.random() < 0.8:
                    site.courier.work()
                networks[site.folder].bring_late(chance.random())
                if chance.random() < 0.05:
                    site.database.close()
                    site.open()
            city.time.passes(chance.choice([1, 5, 60, 400]))
        rounds = 0
        while any(site.outgoing(id).state != "received" for site, id in ids):
            rounds += 1
            assert rounds < 200, [site.state(id) for site, id in ids]
            city.time.passes(400)
            for site in (city.hospital, city.insurer):
                site.courier.work()
        for network in networks.values():
            network.bring_late(1.0)  # long after everything is over

        for site in (city.hospital, city.insurer):
            handed: dict[tuple[str, str], list[str]] = {}
            for exchange, _, content in site.handed():
                handed.setdefault((site.folder.name, exchange), []).append(content)
            assert handed == {of: contents for of, contents in expected.items() if of[0] == site.folder.name}
            assert site.refused() == []
            with site.database.reading() as tx:
                assert store.held(tx) == 0
                assert tx.rows("select count(*) from piece") == [(0,)]
        city.close()
