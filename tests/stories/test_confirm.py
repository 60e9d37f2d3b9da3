"""Stories of time and space: what becomes an incident, and what does not."""

from tests.stories.conftest import Story


async def test_two_of_three_make_one_incident_and_one_page(story: Story) -> None:
    told = await story("""
                        0 1 2 3 4 5 6 7 8
        dublin          P P F F F F P P P
        virginia        P P P F F F P P P
        sydney          P P P P P P P P P """)
    assert told.alerts == ["4m opened critical quote -> oncall, chat", "7m resolved critical quote -> oncall, chat"]
    assert told.events("Incident Opened", "incident") == ["quote/2026-02-03T04:09:00Z"]
    assert told.events("Incident Resolved", "incident") == ["quote/2026-02-03T04:09:00Z"]
    assert {key for _, _, key in told.keys} == {"quote/2026-02-03T04:09:00Z"}
    assert told.events("Check Status Changed", "before", "after") == [("unknown", "up"), ("up", "down"), ("down", "up")]
