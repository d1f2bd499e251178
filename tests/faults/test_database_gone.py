"""PostgreSQL restarts, stays away, cuts connections, asks to try again, has no room: that costs the sink time only."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from faults.conftest import LONG
from faults.sink_world import SinkWorld, ask, sink_world, world_settings
from faults.tally import Tally
from faults.tcp_proxy import Proxy
from faults.test_broker_gone import fill

from journal_postfix.local import EmbeddedDatabase
from schemas.errors import JournalPostfixError
from schemas.settings import DatabaseSettings, KafkaSettings, Settings
from sinks.migrating import migrate

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

MOST_MEGABYTES = 200
"""Resident memory of a sink, at its most, while its database is away."""
SECONDS_AWAY = (4, 12)
MINUTES_AWAY = 130
"""Seconds, for every seventh time of the long form."""

ASKS_TO_TRY_AGAIN = """
CREATE SEQUENCE faults;
CREATE FUNCTION try_again() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF random() < 0.002 THEN
        PERFORM nextval('faults');
        RAISE EXCEPTION 'try again' USING ERRCODE = CASE WHEN random() < 0.5 THEN '40P01' ELSE '40001' END;
    END IF;
    RETURN new;
END $$;
CREATE TRIGGER try_again BEFORE INSERT OR UPDATE ON delivery_to FOR EACH ROW EXECUTE FUNCTION try_again();
"""
"""Raises what PostgreSQL raises for a deadlock and for a serialization failure; a sequence counts it for good."""


@pytest.fixture
def server(data_dir: Path) -> Iterator[EmbeddedDatabase]:
    """Give a database server of the test's own, which it may kill."""
    with ExitStack() as stack:
        server = EmbeddedDatabase(data_dir / "postgresql", Settings())
        stack.callback(server.stop)
        try:
            server.start()
        except JournalPostfixError as error:
            if os.environ.get("CI") == "true":
                pytest.fail(f"no database: {error}")
            pytest.skip(f"no database: {error}")
        migrate(Settings(database=server.settings))
        yield server


@pytest.fixture
def world(kafka_settings: KafkaSettings, server: EmbeddedDatabase, tally: Tally, tmp_path: Path) -> Iterator[SinkWorld]:
    """Give sinks over a database server of their own."""
    with sink_world(world_settings(kafka_settings, server.settings), tally, tmp_path) as world:
        yield world


@pytest.mark.fault("PostgreSQL killed or restarted", fast=2, long=20)
def test_a_database_that_is_killed_or_restarts_costs_nothing(
    world: SinkWorld, server: EmbeddedDatabase, tally: Tally, database: DatabaseSettings
) -> None:
    world.start()
    world.passed()
    for number in range(tally.rounds):
        world.run_for(tally.chance.uniform(0.2, 1.5))
        (server.stop if number % 2 else server.kill)()
        tally.injected += 1
        server.start()
        tally.recovered(world.passed())
    assert len(world.running) == 1, "the sink itself must not have ended"
    world.settle(database)


@pytest.mark.fault("PostgreSQL away for a while", fast=1, long=20)
def test_a_database_that_stays_away_costs_nothing(
    world: SinkWorld, server: EmbeddedDatabase, tally: Tally, database: DatabaseSettings
) -> None:
    world.start()
    world.passed()
    for number in range(tally.rounds):
        world.run_for(tally.chance.uniform(0.2, 1))
        server.kill()
        tally.injected += 1
        world.run_for(MINUTES_AWAY if LONG and number % 7 == 0 else tally.chance.uniform(*SECONDS_AWAY))
        server.start()
        tally.recovered(world.passed())
    peak = world.peak_megabytes()
    tally.notes.append(f"away for {SECONDS_AWAY[0]} to {MINUTES_AWAY if LONG else SECONDS_AWAY[1]} s")
    tally.notes.append(f"most memory of the sink {peak:.0f} MB (cap {MOST_MEGABYTES})")
    assert peak < MOST_MEGABYTES
    assert len(world.running) == 1, "the sink itself must not have ended"
    world.settle(database)


@pytest.mark.fault("connections to PostgreSQL cut half-way", fast=4, long=40)
def test_connections_that_are_cut_cost_nothing(
    kafka_settings: KafkaSettings, server: EmbeddedDatabase, tally: Tally, tmp_path: Path, database: DatabaseSettings
) -> None:
    direct = server.settings
    with Proxy(f"{direct.host}/.s.PGSQL.{direct.port}", tally.chance) as proxy:
        through = direct.model_copy(update={"host": "127.0.0.1", "port": proxy.port, "sslmode": "disable"})
        settings = world_settings(kafka_settings, direct).model_copy(update={"database": through})
        with sink_world(settings, tally, tmp_path, watched=direct) as world:
            world.start()
            world.passed()
            while tally.injected < tally.rounds:
                proxy.cut_after(tally.chance.randrange(150_000))
                world.run_for(tally.chance.uniform(0.3, 1.5))
                if proxy.cuts > tally.injected:
                    tally.injected = proxy.cuts
                    tally.recovered(world.passed())
            assert len(world.running) == 1, "the sink itself must not have ended"
            world.settle(database)


@pytest.mark.fault("deadlocks and serialization failures", fast=5, long=40)
def test_transactions_that_have_to_be_tried_again_cost_nothing(
    world: SinkWorld, server: EmbeddedDatabase, tally: Tally, database: DatabaseSettings
) -> None:
    ask(server.settings, ASKS_TO_TRY_AGAIN)
    world.start()
    while tally.injected < tally.rounds:
        world.run_for(0.3)
        ((last, called),) = world.query("SELECT last_value, is_called FROM faults")
        tally.injected = last if called else 0
    ask(server.settings, "DROP TRIGGER try_again ON delivery_to")
    tally.recovered(world.passed())
    assert len(world.running) == 1, "the sink itself must not have ended"
    world.settle(database)


@pytest.mark.fault("a migration locks the tables while the sink runs", fast=3, long=20)
def test_migrations_beside_a_running_sink_cost_nothing(
    world: SinkWorld, server: EmbeddedDatabase, tally: Tally, database: DatabaseSettings
) -> None:
    world.start()
    world.passed()
    for number in range(tally.rounds):
        table = tally.chance.choice(["delivery_from", "delivery_to", "noqueue", "sink_positions"])
        seconds = tally.chance.uniform(0.2, 2)
        ask(
            server.settings,
            f"BEGIN; ALTER TABLE {table} ADD COLUMN more_{number} text; SELECT pg_sleep({seconds}); "
            f"ALTER TABLE {table} DROP COLUMN more_{number}; COMMIT",
        )
        assert migrate(world.settings) == []
        tally.injected += 1
        tally.recovered(world.passed())
    assert len(world.running) == 1, "the sink itself must not have ended"
    world.settle(database)


@pytest.fixture
def small_disk(data_dir: Path) -> Iterator[Path]:
    """Give a disk of 700 MB."""
    folder = data_dir / "disk"
    folder.mkdir(mode=0o711)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=700m,mode=0711", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        reason = f"no small disk can be mounted: {mounted.stderr.decode().strip()}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.fault("disk of PostgreSQL full", fast=1, long=20)
def test_a_full_disk_costs_nothing(
    kafka_settings: KafkaSettings, small_disk: Path, tally: Tally, tmp_path: Path, database: DatabaseSettings
) -> None:
    with ExitStack() as stack:
        server = EmbeddedDatabase(small_disk / "postgresql", Settings())
        stack.callback(server.stop)
        server.start()
        migrate(Settings(database=server.settings))
        world = stack.enter_context(sink_world(world_settings(kafka_settings, server.settings), tally, tmp_path))
        world.start()
        world.passed()
        for _ in range(tally.rounds):
            fill(small_disk)
            told = world.story().count("trying on")
            while world.story().count("trying on") == told and server.running:
                world.records.more(200)
                world.run_for(0.3)
            tally.injected += 1
            world.run_for(tally.chance.uniform(0, 3))
            (small_disk / "ballast").unlink()
            for _ in range(20):  # it may have had no room for its log, and be about to end
                if not server.running:
                    server.start()
                world.run_for(0.1)
            tally.recovered(world.passed(180))
        assert "Traceback" not in world.story()
        assert len(world.running) == 1, "the sink itself must not have ended"
        world.settle(database)
