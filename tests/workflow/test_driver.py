"""The driver's process with Snakemake itself, by the local profile; as a job: tests/pool/test_submit.py."""

DRIVER = ("scripts.tools.driver", "--profile", "profiles/local", "--log", "results/logs/driver/a.out")


def test_the_driver_runs_everything_and_its_log_ends_with_the_table(fresh):
    done = fresh.command(*DRIVER, "--config", "config/config.yaml")
    log = fresh.read("results/logs/driver/a.out")
    assert (done.code, done.output) == (0, ""), log[-3000:]
    assert "11 of 11 steps (100%) done" in log
    assert "live model     deployed/current/model.joblib" in log
    assert log.endswith("driver: ended with exit code 0\n")

    fresh.config(columns__id="nothing_of_the_kind")
    done = fresh.command(*DRIVER)
    log = fresh.read("results/logs/driver/a.out")
    assert done.code == 1
    assert "Nothing to be done" not in log
    assert log.count("driver: started on ") == 2, "the second run is added to the log"
    assert "\nerror: " in log.split("driver: started on ")[2], "the sentence that says why"
