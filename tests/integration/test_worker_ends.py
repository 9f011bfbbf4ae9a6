"""A worker ends when it cannot go on or is told to, instead of waiting for ever."""

from pathlib import Path

from deploy.embedded.process import free_port
from pipeline.kafka.clients import new_admin
from schemas.checkpoints import checkpoint_topic
from tests.systems import Lab


def test_a_worker_without_checkpoint_topics_says_what_to_do(tmp_path: Path) -> None:
    lab = Lab.start(tmp_path, workers=0)
    try:
        admin = new_admin(lab.kafka)
        for future in admin.delete_topics([checkpoint_topic("touchpoints.web")]).values():
            future.result(30)
        worker = lab.start_worker(CX_WEB__PORT=str(free_port()))
        lab.wait_for(lambda: worker.child.process.poll() is not None, 60)
        assert worker.child.process.returncode == 1
        assert "no topic cx.checkpoints.web with a partition" in lab.log.read_text()
        assert "run 'cx-signals topics'" in lab.log.read_text()
    finally:
        lab.stop()


def test_a_worker_that_is_told_to_end_ends_though_kafka_and_clickhouse_are_gone(tmp_path: Path) -> None:
    lab = Lab.start(tmp_path)
    try:
        (worker,) = lab.workers
        lab.wait_for(lambda: worker.owned() == 16)
        assert lab.clickhouse_child is not None
        lab.broker.kill()
        lab.clickhouse_child.kill()
        worker.child.process.terminate()
        lab.wait_for(lambda: worker.child.process.poll() is not None, 60)
        # Where aiokafka has noticed by then that its coordinator is gone, leaving the group fails at once.
        is_cut_short = "ending without leaving the group" in lab.log.read_text()
        assert worker.child.process.returncode == int(is_cut_short)
    finally:
        lab.stop()
