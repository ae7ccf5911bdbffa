"""A process that is killed with SIGKILL leaves things as they were, or what is started again ends.

``tests.benchmarks.accidents`` kills hundreds at random points. Here are a few, before the writes
that matter.
"""

from __future__ import annotations

import sys

import pytest

from tests.support.accidents.killing import Accidents, start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be forked")

#: Steps, and before which share of their writes they are killed.
KILLS = {
    "encode": (0.5, 0.9),
    "import_codes": (0.4, 0.9),
    "name_atoms": (0.6,),
    "store_map": (0.6,),
    "export of a dataset": (0.6,),
    "append_archive": (0.6,),
}


@pytest.fixture(scope="module")
def accidents(tmp_path_factory):
    start()
    return Accidents(tmp_path_factory.mktemp("accidents"))


@pytest.mark.parametrize(("step", "share"), [(s, share) for s in KILLS for share in KILLS[s]])
def test_a_step_that_is_killed_ends_when_it_is_started_again(accidents, step, share):
    outcome = accidents.kill(step, write=int(share * accidents.measure(step).writes))
    assert outcome.wrong == []
    assert not outcome.finished
