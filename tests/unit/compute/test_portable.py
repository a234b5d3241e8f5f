"""exp and log are those of the C library, and what models answer has the same bits whatever the processor can."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

import hanok.compute.runtimes
from hanok.compute import portable

ASKED = """
import hashlib, json
import numpy as np
from hanok.compute.runtimes.ensemble import linked, tempered
from hanok.compute.runtimes.linear import Linear
rng = np.random.default_rng(3)
matrix = rng.normal(0, 3, (5000, 4))
shape = {"numeric": [(i, 0.0, 1.0) for i in range(4)], "categorical": []}
for link, outputs in (("logistic", 1), ("softmax", 3)):
    body = {"shape": shape, "coefficients": rng.normal(size=(outputs, 8)).tolist(), "intercepts": [0.5] * outputs}
    scores = Linear(json.dumps(body | {"link": link}).encode()).score(matrix)
    for given in (scores, tempered(scores, 1.3), linked(scores.reshape(len(scores), -1), link)):
        print(hashlib.sha256(np.ascontiguousarray(given).tobytes()).hexdigest())
"""


def test_exp_and_log_are_those_of_the_c_library():
    x = np.concatenate([np.random.default_rng(1).normal(0, s, 20_000) for s in (1e-9, 1, 30, 250)])
    assert portable.exp(x).tolist() == [math.exp(v) if v < 709.7 else math.inf for v in x.tolist()]
    edges = np.array([[-math.inf, -745.2, -0.0], [math.inf, 800.0, math.nan]])
    assert np.array_equal(portable.exp(edges), [[0, 0, 1], [math.inf, math.inf, math.nan]], equal_nan=True)
    assert portable.log(np.abs(x)[:, None] + 1e-300)[:, 0].tolist() == [math.log(abs(v) + 1e-300) for v in x.tolist()]
    assert portable.softmax(np.array([[1000.0, 0.0], [5.0, 5.0]])).tolist() == [[1.0, 0.0], [0.5, 0.5]]
    assert portable.exp(np.empty((0, 3))).shape == portable.log(np.empty((0, 3))).shape == (0, 3)


def test_a_processor_that_can_less_gives_the_same_bits():
    wide = np._core._multiarray_umath.__cpu_features__ if hasattr(np, "_core") else {}
    off = " ".join(name for name, there in wide.items() if there and name.startswith(("AVX512", "X86_V4")))

    def asked(**more):
        command = [sys.executable, "-c", ASKED]
        return subprocess.run(command, env=os.environ | more, capture_output=True, text=True, check=True).stdout

    assert asked(NPY_DISABLE_CPU_FEATURES=off) == asked()


def test_no_runtime_asks_numpy_for_what_depends_on_the_processor():
    folder = Path(hanok.compute.runtimes.__file__).parent
    found = re.compile(r"np\.(exp|exp2|expm1|log1p|tanh|power|sin|cos)\(|np\.log\((?!v)")
    assert not [p.name for p in sorted(folder.glob("*.py")) if found.search(p.read_text())]
