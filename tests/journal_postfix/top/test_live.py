"""The live view: keys do what the last line says; a side that is out of reach or slow holds nothing up."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from journal_postfix.top.live import Top
from journal_postfix.top.picture import DatabaseLook, KafkaLook
from schemas.errors import TryAgainLaterError

from .test_drawing import HOSTILE, deferral
from .test_picture import database, kafka

SIZES = [(80, 24), (120, 40)]


class Fake:
    """A side that gives looks, errors, or nothing at all."""

    def __init__(self, name: str, look: Callable[[int], KafkaLook | DatabaseLook]) -> None:
        self.name, self._look, self.times = name, look, 0

    def look(self) -> KafkaLook | DatabaseLook:
        self.times += 1
        return self._look(self.times)


def sides(**known: Any) -> list[Fake]:
    found = [deferral("b.test", "greylisted", 9), deferral("a.test", "unavailable", 2)]
    return [
        Fake("kafka", lambda n: kafka(float(n), parsed=100 * n)),
        Fake("database", lambda n: database(float(n), 10 * n, 30 * n, **{"deferring": found} | known)),
    ]


def shown(app: Top, panel: str) -> str:
    return str(app.query_one(panel, Static).content)


async def until(pilot: Pilot[None], true: Callable[[], bool]) -> None:
    for _ in range(400):
        await pilot.pause()
        if true():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not come")


def run(scenario: Any, app: Top, size: tuple[int, int] = (80, 24)) -> None:
    async def whole() -> None:
        async with app.run_test(size=size) as pilot:
            await scenario(pilot, app)

    asyncio.run(whole())


@pytest.mark.parametrize("size", SIZES)
def test_all_of_it_is_seen(size: tuple[int, int]) -> None:
    async def scenario(pilot: Pilot[None], app: Top) -> None:
        await until(pilot, lambda: "messages/s      10" in shown(app, "#figures"))
        await until(pilot, lambda: "lines/s       300" in shown(app, "#figures"))
        assert "connection 200" in shown(app, "#figures")
        assert shown(app, "#lag").splitlines()[1].split()[:3] == ["0", "2", "10"]
        assert "b.test" in shown(app, "#deferring")
        assert "at example" in shown(app, "#head")
        for panel in app.query("Panel"):
            assert panel.content_size.width > 0
            assert panel.region.bottom <= size[1] - 1

    run(scenario, Top(sides(), "kafka at example", 0.05, 24), size)


def test_keys_do_what_the_last_line_says() -> None:
    async def scenario(pilot: Pilot[None], app: Top) -> None:
        await until(pilot, lambda: "b.test" in shown(app, "#deferring"))
        first = lambda: shown(app, "#deferring").splitlines()[1].split()[1]  # noqa: E731
        assert first() == "b.test"
        await pilot.press("d")
        assert (app.order, first()) == ("domain", "a.test")
        await pilot.press("r")
        assert (app.order, first()) == ("reason", "b.test")
        await pilot.press("r")
        assert app.order == "deliveries"
        await pilot.press("plus")
        assert (app.interval, "every 5 s" in shown(app, "#head")) == (5.0, True)
        await pilot.press("minus", "minus")
        assert app.interval == 1.0
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)

    run(scenario, Top(sides(), "", 2, 24))


def test_a_pause_keeps_the_picture_and_asks_nothing() -> None:
    both = sides()

    async def scenario(pilot: Pilot[None], app: Top) -> None:
        await until(pilot, lambda: both[0].times > 2)
        await pilot.press("p")
        assert "paused" in shown(app, "#head")
        await asyncio.sleep(0.1)  # looks that were under way
        times, before = both[0].times, shown(app, "#figures")
        await asyncio.sleep(0.3)
        assert (both[0].times, shown(app, "#figures")) == (times, before)
        await pilot.press("p")
        await until(pilot, lambda: both[0].times > times)
        assert "paused" not in shown(app, "#head")

    run(scenario, Top(both, "", 0.02, 24))


def test_a_side_that_does_not_answer_is_named_and_the_other_goes_on() -> None:
    release = threading.Event()

    def never(_: int) -> KafkaLook:
        release.wait(20)
        raise TryAgainLaterError("Kafka at k:1 does not answer")

    both = [Fake("kafka", never), sides()[1]]

    async def scenario(pilot: Pilot[None], app: Top) -> None:
        await until(pilot, lambda: "b.test" in shown(app, "#deferring"))  # while Kafka is waited for
        release.set()
        await until(pilot, lambda: "Kafka at k:1 does not answer" in " ".join(shown(app, "#lag").split()))
        await until(pilot, lambda: both[1].times > 5)

    run(scenario, Top(both, "", 0.02, 24))


def test_what_a_log_says_is_no_markup() -> None:
    hostile = [deferral(HOSTILE, HOSTILE, reply=HOSTILE)]

    async def scenario(pilot: Pilot[None], app: Top) -> None:
        await until(pilot, lambda: "[bold red]" in shown(app, "#deferring"))
        picture = app.export_screenshot()
        assert "\x1b" not in picture
        assert "\u202e" not in picture

    run(scenario, Top(sides(deferring=hostile), "[bold]", 0.05, 24), (120, 40))


def test_a_terminal_may_be_small_and_change() -> None:
    async def scenario(pilot: Pilot[None], app: Top) -> None:
        await until(pilot, lambda: "b.test" in shown(app, "#deferring"))
        for size in ((30, 10), (5, 3), (200, 60)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
        await until(pilot, lambda: "450 later" in shown(app, "#deferring"))

    run(scenario, Top(sides(), "", 0.05, 24))
