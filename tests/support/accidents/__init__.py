"""Steps that are killed with SIGKILL while they run, and what must hold afterwards.

``scenes`` builds what the steps work on, ``steps`` lists them, ``looking`` says what is wrong, and
``killing`` runs, kills and judges them. ``tests.benchmarks.accidents`` kills hundreds, and
``tests/fiftyone/test_accidents.py`` a few.
"""
