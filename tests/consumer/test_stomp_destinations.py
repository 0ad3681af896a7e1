"""The wildcards in the topics of the configuration mean over STOMP what ActiveMQ means by them."""

from __future__ import annotations

import pytest

from datanommer.consumer.stomp.destinations import matches

BREW = "/topic/VirtualTopic.eng.brew.build.complete"


@pytest.mark.parametrize(
    "topic",
    [
        "*",
        ">",
        "VirtualTopic.>",
        "VirtualTopic.eng.>",
        "VirtualTopic.eng.brew.build.complete.>",
        "VirtualTopic.*.brew.build.complete",
        "VirtualTopic.eng.*.>",
        "VirtualTopic.eng.brew.build.*",
        "/topic/VirtualTopic.eng.>",
        BREW,
    ],
)
def test_a_topic_means(topic: str) -> None:
    assert matches(BREW, [topic])


@pytest.mark.parametrize(
    "topic",
    [
        "VirtualTopic",
        "VirtualTopic.*",
        "VirtualTopic.eng.*.complete",
        "VirtualTopic.eng.bre*",
        "VirtualTopic.eng.brew.build.complete.*",
        "/queue/VirtualTopic.eng.>",
        "VirtualTopicXeng.>",
    ],
)
def test_a_topic_does_not_mean(topic: str) -> None:
    assert not matches(BREW, [topic])


def test_one_of_several_is_enough() -> None:
    assert matches(BREW, ["VirtualTopic.qe.>", "VirtualTopic.eng.>"])
    assert not matches(BREW, [])
