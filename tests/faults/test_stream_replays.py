"""The same lines again: a topic read anew by another application, and a topic that holds everything several times."""

from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from faults.stream_world import compare_outputs, stream_world
from faults.tally import Tally

from schemas.settings import Settings
from schemas.topics import topics_of

pytestmark = pytest.mark.kafka

Records = Callable[..., list[tuple[bytes, bytes | None]]]


@pytest.mark.fault("the same topic replayed", fast=2, long=20)
def test_a_topic_that_is_replayed_leaves_the_outputs_as_they_are(
    stream_settings: Settings, topic_records: Records, tally: Tally
) -> None:
    admin = AdminClient({"bootstrap.servers": stream_settings.kafka.bootstrap_servers})
    with stream_world(stream_settings, tally) as world:
        world.run_for(5)
        world.feed.finish()
        world.passed()
        compare_outputs(tally, stream_settings, world.feed.fed, topic_records)
        for _ in range(tally.rounds):
            world.keep = 0
            for name in list(world.running):
                world.stop(name)
            world.forget_progress()
            again = f"{stream_settings.stream.application}-again{tally.injected}"
            stream = stream_settings.stream.model_copy(update={"application": again})
            world.settings = stream_settings.model_copy(update={"stream": stream})
            changelog = topics_of(stream_settings.kafka, stream).changelog
            new = NewTopic(changelog.name, changelog.partitions, 1, config=changelog.config)
            admin.create_topics([new])[new.topic].result()
            world.start()
            tally.recovered(world.passed())
            tally.injected += 1
            compare_outputs(tally, stream_settings, world.feed.fed, topic_records, once=False)
        tally.notes.append(f"{sum(p.lines for p in world.progress().values())} lines each time")
        tally.settle()


@pytest.mark.fault("the same lines fed again", fast=2, long=20)
def test_lines_that_are_fed_again_leave_the_outputs_as_they_are(
    stream_settings: Settings, topic_records: Records, tally: Tally
) -> None:
    with stream_world(stream_settings, tally) as world:
        world.run_for(5)
        world.feed.finish()
        world.passed()
        fed = [list(records) for records in world.feed.fed]
        for _ in range(tally.rounds):
            for number, records in enumerate(fed):
                for record in records:
                    world.feed.put_again(number, record)
            tally.recovered(world.passed())
            tally.injected += 1
            compare_outputs(tally, stream_settings, fed, topic_records, once=False)
        tally.notes.append(f"{sum(p.lines for p in world.progress().values())} lines in all")
        tally.settle()
