"""The file of a cost model: JSON beside the model that was measured, MODEL.costs.json."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from lego_sdn.adapters.files.outputs import replacing
from lego_sdn.core.cost.measurements import CostError
from lego_sdn.core.cost.model import Costs

ENDING = ".costs.json"


def path_of(model: str | Path) -> Path:
    """Where the costs of a model are."""
    return Path(f"{model}{ENDING}")


def write(model: str | Path, costs: Costs) -> Path:
    """Store the costs with their model, whole or not at all; returns the file. LegoError if that cannot be done."""
    path = path_of(model)
    with replacing(path, (model,)) as fresh, open(fresh, "w", encoding="utf-8") as file:
        json.dump({"model": _digest(model)} | costs.to_dict(), file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    return path


def read(model: str | Path) -> Costs | None:
    """The costs of a model; None if there are none. CostError if the file is damaged, or of a model that was there before."""
    path = path_of(model)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        digest = _digest(model)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CostError(f"costs {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise CostError(f"costs {path} are no JSON ({error}); make them anew with `lego profile`") from None
    if isinstance(data, dict) and data.pop("model", digest) != digest:
        raise CostError(f"costs {path} are of another model than {model}; make them anew with `lego profile`")
    return Costs.parse(data, f"costs {path}")


def _digest(model: str | Path) -> str:
    return hashlib.sha256(Path(model).read_bytes()).hexdigest()
