"""Apache Lucene: its own HNSW formats, on a Java virtual machine in this process."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tuner.engines.common import metric_named, refuse_to_drop
from tuner.engines.filtered import TAGS, describe_steps
from tuner.engines.filtering import FilterMeans, Tags
from tuner.engines.protocol import OF_GRAPH, Capabilities, Defaults, Deployment, Engine, EngineCodec
from tuner.types import EngineConfig, FloatArray, Metric, ReportedConfig

EXACT = "FLOAT32"
"""Lucene's VectorEncoding; the other codecs are named after its ScalarEncoding."""
CAPABILITIES = Capabilities(
    name="lucene",
    title="Apache Lucene",
    language="java",
    codecs=(
        EngineCodec(name=EXACT, nearest="fp32", bits=32),
        EngineCodec(name="UNSIGNED_BYTE", nearest="SQ8", bits=8, oversampling=True,
                    note="8 bits, in a range of each vector's own around the segment's centroid"),
        EngineCodec(name="SEVEN_BIT", nearest="tqmse8", bits=8, oversampling=True,
                    note="7 bits in a byte each: as large as UNSIGNED_BYTE, and less exact"),
        EngineCodec(name="PACKED_NIBBLE", nearest="SQ4", bits=4, oversampling=True,
                    note="4 bits, in a range of each vector's own around the segment's centroid"),
        EngineCodec(name="DIBIT_QUERY_NIBBLE", nearest="tqmse2", bits=2, oversampling=True,
                    note="2 bits, not rotated, and compared with queries of 4 bits: less exact than tqmse2"),
        EngineCodec(name="SINGLE_BIT_QUERY_NIBBLE", nearest="tqmse1", bits=1, oversampling=True,
                    note="1 bit, not rotated, and compared with queries of 4 bits: less exact than tqmse1"),
    ),
    defaults=Defaults(codec=EXACT, M=16, ef_construction=100, ef_search=10),
    tested="Lucene 10.5.2 on Java 25, both out of arcadedb-embedded 26.10.2.post1, by JPype 1.7.1",
    runs="embedded",
    packages=("arcadedb-embedded==26.10.2.post1", "jpype1>=1.7.1"),
    modules=("arcadedb_embedded", "jpype"),
    M=(2, 512),
    ef_construction=(1, 3_200),
    ef_covers_candidates=True,
    most_dims=1_024,
    counts_oversampling="written out in the query: of the ef_search neighbours that KnnFloatVectorQuery "
    "finds by their codes, the best k x oversampling are compared on float32 vectors by RescoreTopNQuery",
    fallbacks=(
        "KnnFloatVectorQuery has one number, its k: it is ef_search, and no more than that is returned",
        "a segment of n vectors is scanned exactly when ef_search x ln(n) is n or more",
        "a segment of n vectors gets no graph when 100 x ln(n) is n or more (some 640); verifying builds it",
        "every segment has a graph of its own, and an index of several finds more or less: one is measured",
        "the graph of a segment that was never merged is built on float32, whatever the encoding",
        "the formats take 1,024 dimensions; products built on Lucene raise that in formats of their own",
    ),
    filters=FilterMeans(
        how="the filter is an argument of KnnFloatVectorQuery, and the graph is searched among its "
        "documents; where it allows less than 60% of them, Lucene leaves the others out of the search "
        "(as ACORN does)",
        ef_counts="allowed rows",
        scans="Lucene scans them by itself, where no more than ef_search are allowed or a search "
        "comes upon more than are: nothing is to be set",
        source="run: Lucene 10.5.2; read: AbstractKnnVectorQuery, KnnSearchStrategy and pull request "
        "14160",
        cannot="set from how many documents on they are scanned",
    ),
    reports=(*OF_GRAPH, "ef_search", "index_used"),
    bytes_are="getOffHeapByteSize of the field: its graph (.vex) and codes (.veq), or its float32 vectors "
    "(.vec) if it has no codes; the .vec beside codes, which re-scoring and merging read, is not counted",
)  # fmt: skip
SIMILARITY: dict[Metric, str] = {"cosine": "COSINE", "ip": "MAXIMUM_INNER_PRODUCT", "l2": "EUCLIDEAN"}
PLAIN_FORMAT = "org.apache.lucene.codecs.lucene99.Lucene99HnswVectorsFormat"
CODED_FORMAT = "org.apache.lucene.codecs.lucene104.Lucene104HnswScalarQuantizedVectorsFormat"
CODEC = "org.apache.lucene.codecs.lucene104.Lucene104Codec"
ENCODING = "org.apache.lucene.util.quantization.QuantizedByteVectorValues.ScalarEncoding"
IMPORTS = (
    "java.io.IOException",
    "org.apache.lucene.codecs.KnnVectorsFormat",
    "org.apache.lucene.document.KnnFloatVectorField",
    "org.apache.lucene.index.IndexWriterConfig",
    "org.apache.lucene.index.VectorSimilarityFunction",
    "org.apache.lucene.search.IndexSearcher",
    "org.apache.lucene.search.KnnFloatVectorQuery",
    "org.apache.lucene.search.Query",
    "org.apache.lucene.search.TopDocs",
)
"""Imports of every exported class."""
FIELD = "embedding"
JAVA_OPTIONS = (
    "--add-modules=jdk.incubator.vector",
    "--enable-native-access=ALL-UNNAMED",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
)
"""SIMD; garbage collected in one thread; no file of counters in the system's temporary folder."""
WARM_UP_S = 1.0
MERGE_WORKERS = 1
"""Lucene's default, which the exported class has too: more build another graph, of a recall 0.01 lower."""
PROBES = 16
"""Stored vectors that are searched for to read what a search does."""
ALWAYS_GRAPH = 0
"""Threshold below which a segment gets no graph."""
NO_LIMIT = 2**31 - 1


def format_name(config: EngineConfig) -> str:
    """Return the class of the format of vectors."""
    return PLAIN_FORMAT if config.codec == EXACT else CODED_FORMAT


def body(config: EngineConfig) -> str:
    """Return a Java class with the writer's configuration, the field and the search."""
    wanted = _simple(format_name(config))
    encoding = "" if config.codec == EXACT else f"ScalarEncoding.{config.codec}, "
    return f"""\
{_imports(config)}

final class TunedIndex {{
  static final String FIELD = "{FIELD}";

  // maxConn is M, beamWidth is ef_construction
  static final KnnVectorsFormat FORMAT =
      new {wanted}({encoding}{config.M}, {config.ef_construction});

  // measured on one segment: call writer.forceMerge(1), for every segment has a graph of its own
  static IndexWriterConfig writerConfig() {{
    return new IndexWriterConfig()
        .setCodec(
            new {_simple(CODEC)}() {{
              @Override
              public KnnVectorsFormat getKnnVectorsFormatForField(String field) {{
                return field.equals(FIELD) ? FORMAT : super.getKnnVectorsFormatForField(field);
              }}
            }});
  }}

  static KnnFloatVectorField field(float[] embedding) {{
    return new KnnFloatVectorField(
        FIELD, embedding, VectorSimilarityFunction.{SIMILARITY[config.metric]});
  }}

  // measured with java --add-modules jdk.incubator.vector
  static TopDocs search(IndexSearcher searcher, float[] query) throws IOException {{
{_search(config, str(config.ef_search))}
  }}
{_filtered_body(config)}}}"""


def _filtered_body(config: EngineConfig) -> str:
    """Return the method that searches with a filter, none where no filters were measured."""
    if config.filters is None:
        return ""
    steps = "\n".join(f"  // {line}" for line in describe_steps(config, "efSearch"))
    return f"""
  // filtered search: {TAGS} stands for what you filter by, one IntField for each tag of a document
{steps}
  static TopDocs search(IndexSearcher searcher, float[] query, int tag, int efSearch)
      throws IOException {{
    Query allowed = IntField.newExactQuery("{TAGS}", tag);
{_search(config, "efSearch, allowed")}
  }}
"""


def _imports(config: EngineConfig) -> str:
    names = [format_name(config), CODEC, *IMPORTS]
    if config.codec != EXACT:
        names.append(ENCODING)
    if config.oversampling > 1:
        names.append("org.apache.lucene.search.RescoreTopNQuery")
    if _is_cut(config):
        names.append("org.apache.lucene.search.DoubleValuesSource")
    if config.filters is not None:
        names.append("org.apache.lucene.document.IntField")
    return "\n".join(f"import {name};" for name in sorted(names))


def _search(config: EngineConfig, arguments: str) -> str:
    """Return the lines of a search; the last arguments of the query are ef_search, and a filter if any."""
    k, last = config.k, "nearest"
    lines = [
        "// the k of this query is ef_search",
        f"Query nearest = new KnnFloatVectorQuery(FIELD, query, {arguments});",
    ]
    if _is_cut(config):
        lines += [
            f"// of these, by their codes, the best {k} x {config.oversampling}",
            f"Query best = new RescoreTopNQuery(nearest, DoubleValuesSource.SCORES, {config.candidates});",
        ]
        last = "best"
    if config.oversampling > 1:
        lines += [
            "// of these, by their float32 vectors, the best k",
            "Query exact =",
            f"    RescoreTopNQuery.createFullPrecisionRescorerQuery({last}, query, FIELD, {k});",
        ]
        last = "exact"
    lines.append(f"return searcher.search({last}, {k});")
    return "\n".join(f"    {line}" for line in lines)


def _is_cut(config: EngineConfig) -> bool:
    """Return whether fewer are re-scored than the graph finds."""
    return config.oversampling > 1 and config.candidates < config.ef_search


def _simple(name: str) -> str:
    return name.rpartition(".")[2]


class RunningLucene:
    """One index on disk, written and then searched by Lucene."""

    def __init__(self, config: EngineConfig, deployment: Deployment) -> None:
        import jpype  # noqa: PLC0415 - as every engine's packages

        self.jpype: Any = jpype
        self.config = config
        self.directory: Any = None
        self.writer: Any = None
        self.reader: Any = None
        self.tagged, self.tags = deployment.tagged, Tags(np.zeros(1, np.int64), np.zeros(0, np.int64))
        self.path = deployment.folder / deployment.name
        if self.path.exists():
            refuse_to_drop("an index", deployment)
            shutil.rmtree(self.path)
        start_java(deployment.folder)
        try:
            self._open_writer()
        except BaseException:
            self.close()
            raise

    def _open_writer(self) -> None:
        path = self.jpype.JClass("java.nio.file.Path").of(str(self.path))
        self.directory = self._class("store.FSDirectory").open(path)
        writer_config = self._class("index.IndexWriterConfig")().setCodec(self._codec())
        writer_config.setMergeScheduler(
            self._class("index.SerialMergeScheduler")()
        )  # so that merges do not race
        self.writer = self._class("index.IndexWriter")(self.directory, writer_config)
        self.writer_config = self.writer.getConfig()

    def _codec(self) -> Any:
        """Return Lucene's codec with our format put in; Java overrides its method, which Python cannot."""
        config = self.config
        numbers = (config.M, config.ef_construction, MERGE_WORKERS, None, ALWAYS_GRAPH)
        make = self.jpype.JClass(format_name(config))
        if config.codec == EXACT:
            wanted = make(*numbers)
        else:
            encodings = self.jpype.JClass("$".join(ENCODING.rsplit(".", 1)))
            wanted = make(encodings.valueOf(config.codec), *numbers)
        codec = self.jpype.JClass(CODEC)()
        default = codec.getClass().getDeclaredField("defaultKnnVectorsFormat")
        default.setAccessible(True)
        default.set(codec, wanted)
        return codec

    def _class(self, name: str) -> Any:
        return self.jpype.JClass(f"org.apache.lucene.{name}")

    def add(self, first: int, x: FloatArray) -> None:
        """Write a document for each row."""
        metric = getattr(self._class("index.VectorSimilarityFunction"), SIMILARITY[self.config.metric])
        rows = self.jpype.JArray.of(np.ascontiguousarray(x, dtype=np.float32))
        number = self._class("document.NumericDocValuesField")("id", first)
        vector = self._class("document.KnnFloatVectorField")(FIELD, rows[0], metric)
        document = self._class("document.Document")()
        document.add(number)
        document.add(vector)
        tags = self.tags.of_rows(first, len(x)) if self.tagged else None
        for offset, row in enumerate(rows):
            number.setLongValue(first + offset)
            vector.setVectorValue(row)
            if tags is not None:
                document = self._tagged_document(number, vector, tags[offset])
            self.writer.addDocument(document)

    def _tagged_document(self, number: Any, vector: Any, tags: Sequence[int]) -> Any:
        document = self._class("document.Document")()
        document.add(number)
        document.add(vector)
        field = self._class("document.IntField")
        not_stored = self.jpype.JClass("org.apache.lucene.document.Field$Store").NO
        for tag in tags:
            document.add(field(TAGS, tag, not_stored))
        return document

    def tag_rows(self, tags: Tags) -> None:
        """Take the tags of all rows."""
        self.tags = tags

    def search_tagged(self, query: FloatArray, k: int, tag: int, *, scan: bool) -> Sequence[int]:
        """Search among the documents with a tag; whether they are scanned is Lucene's to choose."""
        allowed = self._class("document.IntField").newExactQuery(TAGS, tag)
        hits = self.searcher.search(self._query(self.floats(query), k, allowed), k).scoreDocs
        return [self.ids[hit.doc] for hit in hits]

    def answers_from_index(self, tag: int, *, scan: bool) -> None:
        """Return None: it shows no plan."""

    def build(self) -> None:
        """Merge everything into one segment, and open it."""
        self.writer.forceMerge(1)
        self.writer.commit()
        self.reader = self._class("index.DirectoryReader").open(self.directory)
        self.leaf = self.reader.leaves().get(0).reader()
        self.ids = self._ids(int(self.leaf.maxDoc()))
        self.searcher = self._class("search.IndexSearcher")(self.reader)
        self.floats = self.jpype.JArray(self.jpype.JFloat)
        self.nearest = self._class("search.KnnFloatVectorQuery")
        self.rescored = self._class("search.RescoreTopNQuery")
        self.by_code = self._class("search.DoubleValuesSource").SCORES
        self._warm_up()

    def _warm_up(self) -> None:
        """Search for stored vectors: Java compiles what runs often, and first searches take far longer."""
        vectors, k = self.leaf.getFloatVectorValues(FIELD), self.config.k
        end = time.perf_counter() + WARM_UP_S
        for number in range(vectors.size()):
            self.searcher.search(self._query(vectors.vectorValue(number), k), k)
            if time.perf_counter() > end:
                return

    def _ids(self, n: int) -> list[int]:
        """Return our ids in the order of Lucene's."""
        every = self.jpype.JArray.of(np.arange(n, dtype=np.int32))
        ids = self.jpype.JArray(self.jpype.JLong)(n)
        self.leaf.getNumericDocValues("id").longValues(n, every, ids, -1)
        found: list[int] = np.array(ids).tolist()
        return found

    def set_search(self, ef_search: int, oversampling: int) -> None:
        """Search with these from now on."""
        self.config = replace(self.config, ef_search=ef_search, oversampling=oversampling)

    def search(self, query: FloatArray, k: int) -> Sequence[int]:
        """Search for one query."""
        hits = self.searcher.search(self._query(self.floats(query), k), k).scoreDocs
        return [self.ids[hit.doc] for hit in hits]

    def _query(self, target: Any, k: int, *filters: Any) -> Any:
        config = self.config if k == self.config.k else replace(self.config, k=k)
        query = self.nearest(FIELD, target, config.ef_search, *filters)
        if config.oversampling == 1:
            return query
        if _is_cut(config):
            query = self.rescored(query, self.by_code, config.candidates)
        return self.rescored.createFullPrecisionRescorerQuery(query, target, FIELD, k)

    def applied(self) -> ReportedConfig:
        """Return what the segment on disk, the writer's format and a search for a stored vector say."""
        info, vectors = self._info(), self._vectors()
        graph, codes = vectors.getGraph(FIELD), vectors.getQuantizedVectorValues(FIELD)
        written = str(self.writer_config.getCodec().getKnnVectorsFormatForField(FIELD))
        beam_width = re.search(r"\bbeamWidth=(\d+)", written)
        efforts = self._efforts()
        return ReportedConfig(
            version=f"Lucene {self._class('util.Version').LATEST}",
            n_indexed=int(graph.size()),
            codec=str(info.getVectorEncoding() if codes is None else codes.getScalarEncoding()),
            metric=metric_named(str(info.getVectorSimilarityFunction()), SIMILARITY),
            M=int(graph.maxConn()) if graph.size() else None,
            ef_construction=int(beam_width[1]) if beam_width else None,
            ef_search=_ef_of(efforts, self.config.ef_search, len(self.ids)),
            index_used=any(compared < len(self.ids) for _, compared in efforts),
        )

    def _info(self) -> Any:
        return self.leaf.getFieldInfos().fieldInfo(FIELD)

    def _vectors(self) -> Any:
        return self.leaf.getVectorReader().getFieldReader(FIELD)

    def _efforts(self) -> list[tuple[int, int]]:
        """Return how many neighbours searches find before any is cut, and how many vectors they compare."""
        ef_search = self.config.ef_search
        every = self._class("search.AcceptDocs").fromLiveDocs(None, self.leaf.maxDoc())
        efforts = []
        for row in np.linspace(0, len(self.ids) - 1, PROBES).astype(int).tolist():
            target = self.leaf.getFloatVectorValues(FIELD).vectorValue(row)
            seen = self.leaf.searchNearestVectors(FIELD, target, ef_search, every, NO_LIMIT)
            found = self.searcher.count(self.nearest(FIELD, target, ef_search))
            efforts.append((int(found), int(seen.totalHits.value())))
        return efforts

    def index_bytes(self) -> int:
        """Return what the field's reader says of its bytes."""
        found = self._sizes()
        return sum(size for name, size in found.items() if name != "vec" or "veq" not in found)

    def table_bytes(self) -> int:
        """Return the bytes of the float32 vectors."""
        return self._sizes()["vec"]

    def _sizes(self) -> dict[str, int]:
        """Return the bytes of the field's files by their endings."""
        sizes = self._vectors().getOffHeapByteSize(self._info())
        return {str(entry.getKey()): int(entry.getValue()) for entry in sizes.entrySet()}

    def close(self) -> None:
        """Close and delete the index; the virtual machine ends with the process."""
        ends = [each.close for each in (self.reader, self.directory) if each is not None]
        if self.writer is not None:
            ends.insert(0, self.writer.rollback)  # close would first write and merge what is left
        for end in ends:
            with suppress(self.jpype.JException):
                end()
        self.writer = self.reader = self.directory = None
        shutil.rmtree(self.path, ignore_errors=True)


def _ef_of(efforts: list[tuple[int, int]], asked: int, n: int) -> int | None:
    """Return the ef_search that searches show, None if they show none: all vectors, or walks that ran dry.

    A walk in a part of the graph that nothing leads out of, as between copies of one vector, ends when it has
    found that part: it compares few more than it finds.

    Example:
        >>> _ef_of([(33, 41), (50, 122)], 50, 3_000)
        50
        >>> _ef_of([(34, 643), (34, 765)], 50, 3_000)
        34
        >>> _ef_of([(33, 41), (34, 43)], 50, 3_000) is None
        True
    """
    most = max(found for found, _ in efforts)
    ran_dry = most < asked and all(compared < 2 * found for found, compared in efforts if found == most)
    return None if ran_dry or most >= n else most


def start_java(folder: Path) -> None:
    """Start the virtual machine once in this process; what it says of its own crash goes to ``folder``."""
    import jpype  # noqa: PLC0415
    from arcadedb_embedded import jvm  # noqa: PLC0415

    if jpype.isJVMStarted():
        return
    jars = sorted(Path(jvm.get_jar_path()).glob("lucene-core-*.jar"))
    jpype.startJVM(
        jvm.get_bundled_jre_lib_path(),
        *JAVA_OPTIONS,
        f"-XX:ErrorFile={folder / 'java_crash.log'}",
        classpath=[str(jar) for jar in jars],
        convertStrings=False,
        interrupt=False,
    )


ENGINE = Engine(capabilities=CAPABILITIES, body=body, open=RunningLucene)
