"""Run folders, and which of them is the newest."""

from alexnet_tf import runs


def test_the_newest_run_is_the_one_begun_last_whatever_the_zone(tmp_path):
    begun = {
        "earlier": "2026-01-01T10:59:00+08:00",  # 02:59 UTC
        "later": "2026-01-01T03:05:00+00:00",
        "unknown": "",
    }
    for name, started in begun.items():
        (tmp_path / name).mkdir()
        runs.write_run(tmp_path / name, {"recipe": {}, "options": {}, "started": started})
    assert runs.newest_run(tmp_path) == tmp_path / "later"
