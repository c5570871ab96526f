"""A small trained model, its offline scores, and a warm process: made once for all tests of brick processes.

Imports are inside the fixtures: the other tests of this folder need none of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

LEARNED, PACKETS = 1500, 6000  # of mirai-benign-20000: learned from, sent through


@pytest.fixture(scope="session")
def packets(data):
    from bricks.files.captures import read_packets

    packets, _ = read_packets([data / "mirai-benign-20000.pcap"])
    return packets[:PACKETS]


@pytest.fixture(scope="session")
def model(packets, tmp_path_factory):
    from bricks.feature_quantization import extract
    from bricks.learning.training import Training, train_model
    from bricks.models.model_file import save_model

    path = tmp_path_factory.mktemp("model") / "model"
    features = extract(packets[:LEARNED])
    save_model(train_model(features, Training(fm_grace=500, ad_grace=LEARNED - 501)), path)
    return path


@pytest.fixture(scope="session")
def offline(packets, model):
    """Scores of one run over all packets in one batch."""
    from bricks.models.model_file import load_model
    from bricks.nfs.kitsune import NETWORK, NF
    from bricks.records.brick import Batch

    batch, models = Batch(packets), {NETWORK: load_model(model)}
    for id in NF.graph.order[1:]:
        batch = NF.build(NF.graph.node(id), 0, models, {}).process(batch)
    return batch.values[:, 0]


@pytest.fixture(scope="session")
def warm(tmp_path_factory):
    """A warm process, as the agent starts one."""
    from lego_sdn.adapters.rpc.calls import Client

    address = str(tmp_path_factory.mktemp("warm") / "warm.sock")
    process = subprocess.Popen([sys.executable, "-m", "bricks.service.main", "--warm", address])
    client = Client(address, 60)
    deadline = time.monotonic() + 200
    while not os.path.exists(address):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield client
    client.close()
    process.terminate()
    assert process.wait(10) == 0
