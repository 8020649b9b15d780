"""The exporters that come with kgym."""

from collections.abc import Iterator

from kgym.hookspecs import Component, ExporterInfo, hookimpl

kgym_api = 1


@hookimpl
def kgym_components() -> Iterator[Component]:
    """Yield the exporters that come with kgym."""
    yield ExporterInfo(
        name="csv",
        target="kgym_plugins.exporters.csv:CsvExporter",
        summary="comma-separated, for spreadsheets and pandas",
    )
    yield ExporterInfo(
        name="html",
        target="kgym_plugins.exporters.html:HtmlExporter",
        summary="a self-contained page with sortable tables and pictures",
    )
    yield ExporterInfo(
        name="json", target="kgym_plugins.exporters.json:JsonExporter", summary="a list of objects, one a row"
    )
    yield ExporterInfo(
        name="latex",
        target="kgym_plugins.exporters.latex:LatexExporter",
        summary="a LaTeX table for each comparability hash",
    )
    yield ExporterInfo(
        name="lm-eval",
        target="kgym_plugins.exporters.lmeval:LmEvalExporter",
        summary="a results file of lm-evaluation-harness, for one model",
    )
    yield ExporterInfo(
        name="plot", target="kgym_plugins.exporters.plot:PlotExporter", summary="a picture with intervals, SVG or PNG"
    )
    yield ExporterInfo(
        name="md",
        target="kgym_plugins.exporters.markdown:MarkdownExporter",
        summary="a Markdown table of the main columns",
    )
