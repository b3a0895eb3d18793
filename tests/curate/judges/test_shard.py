"""Which calls go together: complete, disjoint, and the same whatever else is asked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from curate.judges import Call
from curate.judges.shard import parts, shards

CALLS = st.lists(st.integers(0, 30), max_size=80).map(
    lambda contents: [Call(f"k{i}", f"p{i}", f"s{i}", f"c{c}") for i, c in enumerate(contents)]
)


@given(CALLS, st.integers(1, 5))
def test_every_call_is_in_one_shard_with_its_conversation_in_the_order_given(calls, n):
    found = shards(calls, n)
    assert len(found) == n
    assert sorted(call.key for part in found for call in part) == sorted(call.key for call in calls)
    where = {call.content_id: i for i, part in enumerate(found) for call in part}
    for i, part in enumerate(found):
        assert all(where[call.content_id] == i for call in part)
        assert [calls.index(call) for call in part] == sorted(calls.index(call) for call in part)


@given(CALLS, st.integers(1, 5), st.randoms())
def test_a_calls_shard_does_not_depend_on_the_others(calls, n, chance):
    where = {call.key: i for i, part in enumerate(shards(calls, n)) for call in part}
    some = [call for call in calls if chance.random() < 0.5]
    assert all(where[call.key] == i for i, part in enumerate(shards(some, n)) for call in part)


@given(CALLS, st.integers(1, 20))
def test_parts_divide_no_conversation_and_none_is_short_but_the_last(calls, size):
    found = parts(calls, size)
    assert sorted(call.key for part in found for call in part) == sorted(call.key for call in calls)
    assert all(len(part) >= size for part in found[:-1])
    contents = [{call.content_id for call in part} for part in found]
    assert sum(len(ids) for ids in contents) == len(set().union(*contents))


def test_many_conversations_spread_evenly():
    calls = [Call(str(i), "", "", str(i)) for i in range(4000)]
    assert all(850 < len(part) < 1150 for part in shards(calls, 4))
