import time
from uuid import RFC_4122

from server.kit.ids import uuid7


def test_an_id_is_a_uuid_of_version_7_with_the_time_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid7()
    after = time.time_ns() // 1_000_000

    assert (made.version, made.variant) == (7, RFC_4122)
    assert before <= made.int >> 80 <= after


def test_ids_differ_and_sort_by_their_time() -> None:
    many = [uuid7() for _ in range(10_000)]
    time.sleep(0.002)
    later = uuid7()

    assert len(set(many)) == len(many)
    assert later > max(many)
    assert later.bytes > max(many).bytes


def test_ids_of_one_millisecond_sort_as_they_were_made() -> None:
    made = []
    for _ in range(1_000):
        made.append(uuid7())
        time.sleep(1e-6)

    assert made == sorted(made)
    assert len({one.int >> 80 for one in made}) < len(made)
