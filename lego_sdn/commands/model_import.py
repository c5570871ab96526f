"""`lego import`: an ONNX model becomes a model file of a network function."""

from __future__ import annotations

import click

from lego_sdn.core.facts.errors import ModelError
from lego_sdn.core.facts.json_text import json_text
from lego_sdn.core.facts.text import shown


@click.command("import", short_help="Compile an ONNX model for a network function.")
@click.argument("model", metavar="MODEL.onnx", type=click.Path(dir_okay=False))
@click.option("--nf", required=True, help="Network function that the model is for.")
@click.option("--layout", help="Feature layout that the model takes.  [default: the first of the NF]")
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="File to write.")
@click.option("--classes", help="Names of the classes in order, with commas.  [default: the model's, else 0,1,...]")
@click.option("--ordinary", help="Class that raises no alert.  [default: benign, normal, ordinary, background or 0; else the first]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def import_(model: str, nf: str, layout: str | None, out: str, classes: str | None, ordinary: str | None, as_json: bool) -> None:
    """Compile MODEL.onnx, a classifier of rows of features, into kernels of LEGO's own, whose bits do not depend on batch or machine.

    Operators that are not compiled are named. Needs the package onnx (pip install 'lego-sdn[onnx]').
    """
    from bricks.learning.onnx_models import compile_onnx
    from bricks.learning.supervised import Supervised, new_classifier
    from bricks.models.kinds import kind_of
    from bricks.models.model_file import save_model
    from bricks.nfs.registry import load
    from lego_sdn.adapters.files.onnx_file import read_onnx
    from lego_sdn.adapters.files.outputs import output_path
    from lego_sdn.commands.classified import accept
    from lego_sdn.commands.offline import known_layout

    function = load(nf)
    layout, target = known_layout(function, layout), output_path(out, [model])
    program, told, margins = compile_onnx(read_onnx(model), len(function.extractor(layout).features))
    names = _names(classes, told, program.outputs)
    found = new_classifier(program, names, layout, Supervised(ordinary=ordinary), {"imported": "onnx", "margins": margins})
    accept(function, found)
    save_model(found, target)
    facts = {"out": out, "nf": nf, **kind_of(found).described(found), "margins": margins}
    if as_json:
        click.echo(json_text(facts))
        return
    click.echo(f"{out}: {', '.join(found.program.operators)}; classes {', '.join(names)}, of which {names[found.ordinary]} raises no alert")
    if margins:
        click.echo("the model's results are taken as margins: softmax makes probabilities of them")


def _names(given: str | None, told: list[str], outputs: int) -> list[str]:
    """Of the classes. ModelError if there are not as many as the model has results."""
    names = given.split(",") if given is not None else told or [str(number) for number in range(outputs)]
    if len(names) != outputs:
        raise ModelError(f"the model tells {outputs} classes, and {len(names)} are named: {shown(', '.join(names))}; name all by --classes")
    return names
