"""Static checks of deploy/: that its files parse, and that they agree with the source.

Run by check.sh, from the top of the repository. Prints every fault and exits with 1 if there is one.
"""

import json
import re
import sys
from pathlib import Path

import yaml

DEPLOY = Path("deploy")
FAULTS: list[str] = []


def check(good: bool, fault: str) -> None:
    if not good:
        FAULTS.append(fault)


class Strict(yaml.SafeLoader):
    """YAML in which a key stands once: of two, every parser silently takes the last."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for key in {key for key in keys if keys.count(key) > 1}:
            raise yaml.YAMLError(f"{key!r} stands twice{node.start_mark}")
        return super().construct_mapping(node, deep)


def parsed() -> dict[str, list]:
    """Every YAML and JSON file under deploy/, as lists of documents."""
    files = {}
    for path in sorted(DEPLOY.rglob("*")):
        try:
            if path.suffix in {".yml", ".yaml"}:
                files[str(path)] = list(yaml.load_all(path.read_text(), Strict))
            elif path.suffix == ".json":
                files[str(path)] = [json.loads(path.read_text())]
        except (yaml.YAMLError, ValueError) as error:
            check(False, f"{path}: {error}")
    return files


def only(files: dict[str, list], name: str):
    documents = files.get(f"deploy/{name}", [])
    check(len(documents) == 1, f"deploy/{name}: one document is expected")
    return documents[0] if documents else {}


def first(pattern: str, path: str) -> str:
    """What the pattern's group matches first in the file."""
    found = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    check(found is not None, f"{path}: nothing matches {pattern}")
    return found.group(1) if found else ""


# ---- metrics ------------------------------------------------------------------------------------


def declared_series() -> set[str]:
    """The series that src/metrics exposes, by the names that Prometheus stores them under."""
    source = "\n".join(path.read_text() for path in Path("src/metrics").rglob("*.rs"))
    # A test holds this list against what is really exposed.
    families = dict(re.findall(r'\("(weir_\w+)", "(counter|gauge|histogram)"\)', source))
    check(bool(families), "src/metrics: no list of families with their types")
    series = set()
    for name, kind in families.items():
        suffixes = ["_bucket", "_sum", "_count"] if kind == "histogram" else [""]
        series.update(name + suffix for suffix in suffixes)
    process = set(re.findall(r'"(process_\w+)"', source))
    return series | process - {"process_cpu_seconds"} | {"process_cpu_seconds_total"}


def declared_labels() -> set[str]:
    source = Path("src/metrics/families.rs").read_text()
    block = source.split("labels! {")[-1].split("\n}")[0]
    labels = set(re.findall(r"(\w+): ", block))
    check("upstream" in labels, "src/metrics/families.rs: no labels found")
    return labels | {"job", "instance", "le"}


def check_expressions(source: str, expressions: list[str]) -> None:
    series, labels = declared_series(), declared_labels()
    for expression in expressions:
        bare = re.sub(r'"[^"]*"', '""', expression)
        for name in re.findall(r"\b(?:weir|process)_\w+", bare):
            check(name in series, f"{source}: src/metrics declares no {name}")
        used = re.findall(r"(\w+) *(?:=~|!~|!=|=) *\"", bare)
        for group in re.findall(r"\bby *\(([^)]*)\)", bare):
            used += re.findall(r"\w+", group)
        for name in used:
            check(name in labels, f"{source}: no metric has the label {name}: {expression}")


def check_alerts(alerts: dict) -> None:
    rules = [rule for group in alerts["groups"] for rule in group["rules"]]
    check_expressions("alerts.yml", [rule["expr"] for rule in rules])
    for rule in rules:
        for part in ("summary", "description"):
            check(part in rule.get("annotations", {}), f"alerts.yml: {rule['alert']} has no {part}")
        severity = rule.get("labels", {}).get("severity")
        check(severity in {"warning", "critical"}, f"alerts.yml: {rule['alert']}: {severity}")


def check_dashboard(dashboard: dict) -> None:
    panels = dashboard["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    queries += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
    check_expressions("grafana/weir.json", queries)
    labels = declared_labels() | {"version"}
    for panel in panels:
        for target in panel["targets"]:
            for name in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                check(name in labels, f"grafana/weir.json: {panel['title']}: no label {name}")
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    for name in re.findall(r"\$\{?([a-z]+)", json.dumps(panels)):
        check(name in variables, f"grafana/weir.json: no variable {name}")
    ids = [panel["id"] for panel in panels]
    check(len(ids) == len(set(ids)), "grafana/weir.json: two panels have one id")


# ---- ports, times, versions ---------------------------------------------------------------------


def check_ports(compose: dict, prometheus: dict, kubernetes: dict[str, dict]) -> None:
    public = first(r'\[server\]\nlisten = "[^"]*:(\d+)"', "config/demo.toml")
    admin = first(r'\[admin\]\nlisten = "[^"]*:(\d+)"', "config/demo.toml")
    sandbox = first(r'base_url = "http://127.0.0.1:(\d+)/v2"', "config/demo.toml")

    def same(where: str, found, expected) -> None:
        check(str(found) == str(expected), f"{where}: {found}, but config/demo.toml says {expected}")

    same("Dockerfile: EXPOSE", first(r"^EXPOSE (.*)$", "deploy/Dockerfile"), f"{public} {admin}")
    same("src/cli.rs: probe", first(r'"http://127.0.0.1:(\d+)/livez"', "src/cli.rs"), admin)
    targets = [t for job in prometheus["scrape_configs"] for s in job["static_configs"] for t in s["targets"]]
    same("prometheus.yml: targets", targets, [f"weir:{admin}"])
    services = compose["services"]
    same("compose.yaml: weir", services["weir"]["ports"], [f"127.0.0.1:{p}:{p}" for p in (public, admin)])
    same("compose.yaml: sandbox", services["sandbox"]["command"][-1], f"0.0.0.0:{sandbox}")
    check(f":{sandbox}/" in services["sandbox"]["healthcheck"]["test"][-1], "compose.yaml: sandbox health")
    url = services["weir"]["environment"]["WEIR_UPSTREAMS__ZOOM__BASE_URL"]
    check(f"//sandbox:{sandbox}/v2" in url, f"compose.yaml: {url}")
    for file in ("compose/weir.toml", "kubernetes/weir.toml", "systemd/weir.toml"):
        # Of what systemd passes, the port stands in weir.socket.
        passed = file.startswith("systemd/")
        where = "deploy/systemd/weir.socket" if passed else f"deploy/{file}"
        pattern = r"^ListenStream=.*:(\d+)$" if passed else r'\[server\]\nlisten = "[^"]*:(\d+)"'
        same(file, first(pattern, where), public)
        same(file, first(r'\[admin\]\nlisten = "[^"]*:(\d+)"', f"deploy/{file}"), admin)

    pod = kubernetes["deployment"]["spec"]["template"]
    [container] = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    same("deployment.yaml: http", ports.get("http"), public)
    same("deployment.yaml: admin", ports.get("admin"), admin)
    same("deployment.yaml: scrape", pod["metadata"]["annotations"]["prometheus.io/port"], admin)
    probes = {probe: container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    admin_paths = set(re.findall(r'^ +"(/\w+)" =>', Path("src/serve/admin.rs").read_text(), re.MULTILINE))
    for probe, asked in probes.items():
        check(asked["port"] == "admin" and asked["path"] in admin_paths, f"deployment.yaml: {probe}: {asked}")
    [served] = kubernetes["service"]["spec"]["ports"]
    check(served["targetPort"] == "http", "service.yaml: only the public listener is a service")
    policies = kubernetes["networkpolicy"]["spec"]["ingress"]
    allowed = {port["port"] for rule in policies for port in rule["ports"]}
    check(allowed == set(ports), f"networkpolicy.yaml: {allowed} is not {set(ports)}")
    labels = pod["metadata"]["labels"].items()
    for name, selector in {
        "deployment.yaml": kubernetes["deployment"]["spec"]["selector"]["matchLabels"],
        "service.yaml": kubernetes["service"]["spec"]["selector"],
        "networkpolicy.yaml": kubernetes["networkpolicy"]["spec"]["podSelector"]["matchLabels"],
        "pdb.yaml": kubernetes["pdb"]["spec"]["selector"]["matchLabels"],
    }.items():
        check(bool(selector) and selector.items() <= labels, f"{name}: selects other pods: {selector}")


def check_times(compose: dict, kubernetes: dict[str, dict]) -> None:
    drain = int(first(r"drain_timeout: Span::secs\((\d+)\)", "src/config/raw.rs"))
    for where, seconds in {
        "compose.yaml: stop_grace_period": compose["services"]["weir"]["stop_grace_period"],
        "weir.service: TimeoutStopSec": first(r"^TimeoutStopSec=(.*)$", "deploy/systemd/weir.service"),
        "deployment.yaml: terminationGracePeriodSeconds":
            kubernetes["deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"],
    }.items():
        left = int(str(seconds).removesuffix("s"))
        check(left > drain, f"{where}: {left}s does not outlast server.drain_timeout ({drain}s)")


def check_versions(kubernetes: dict[str, dict]) -> None:
    rust = first(r'^rust-version = "(.*)"$', "Cargo.toml")
    weir = first(r'^version = "(.*)"$', "Cargo.toml")
    check(first(r"^ARG RUST_VERSION=(.*)$", "deploy/Dockerfile") == rust, "Dockerfile: RUST_VERSION")
    check(first(r"^ARG VERSION=(.*)$", "deploy/Dockerfile") == weir, "Dockerfile: VERSION")
    [image] = kubernetes["kustomization"]["images"]
    check(image["newTag"] == weir, "kustomization.yaml: newTag")


def check_state(compose: dict, kubernetes: dict[str, dict]) -> None:
    """What was spent today is kept where it outlasts the process, and may be written to."""
    at = {f: first(r'^state_dir = "(.*)"$', f"deploy/{f}/weir.toml") for f in ("compose", "kubernetes", "systemd")}

    mounts = [volume.split(":") for volume in compose["services"]["weir"]["volumes"]]
    kept = [mount[0] for mount in mounts if mount[1:] == [at["compose"]]]
    check(len(kept) == 1 and kept[0] in compose["volumes"], "compose.yaml: state_dir is on no named volume")
    owned = first(r"^COPY .*--chown=65532:65532 \S+ (\S+)$", "deploy/Dockerfile")
    check(owned == at["compose"], f"Dockerfile: {owned} is not state_dir")

    pod = kubernetes["deployment"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    names = [m["name"] for m in container["volumeMounts"] if m["mountPath"] == at["kubernetes"] and not m.get("readOnly")]
    claims = [v.get("persistentVolumeClaim", {}).get("claimName") for v in pod["volumes"] if v["name"] in names]
    check(claims == [kubernetes["pvc"]["metadata"]["name"]], f"deployment.yaml: state_dir is on {claims}")
    check("fsGroup" in pod["securityContext"], "deployment.yaml: state_dir cannot be written to")
    # Two pods at a time would spend one account's budget twice.
    spec = kubernetes["deployment"]["spec"]
    check(spec["replicas"] == 1 and spec["strategy"]["type"] == "Recreate", "deployment.yaml: more than one pod")
    check(set(kubernetes["pvc"]["spec"]["accessModes"]) <= {"ReadWriteOncePod", "ReadWriteOnce"}, "pvc.yaml: accessModes")

    name = first(r"^FileDescriptorName=(.*)$", "deploy/systemd/weir.socket")
    check(first(r'^listen = "systemd:(.*)"$', "deploy/systemd/weir.toml") == name, f"weir.socket: {name} is not what weir.toml names")
    directory = first(r"^StateDirectory=(.*)$", "deploy/systemd/weir.service")
    check(f"/var/lib/{directory}" == at["systemd"], f"weir.service: StateDirectory={directory} is not state_dir")


def check_resources(kubernetes: dict[str, dict]) -> None:
    """Every manifest is applied, but for the example of a secret."""
    there = {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")}
    listed = set(kubernetes["kustomization"]["resources"])
    left = there - listed - {"kustomization.yaml", "secret.example.yaml"}
    check(not left, f"kustomization.yaml: leaves out {left}")


def check_mounts(compose: dict) -> None:
    """Whatever compose mounts or hands over is there."""
    sources = [v.split(":")[0] for s in compose["services"].values() for v in s.get("volumes", [])]
    for volume in {source for source in sources if "/" not in source}:
        check(volume in compose["volumes"], f"compose.yaml: no volume {volume}")
    sources += [re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", s["file"]) for s in compose["secrets"].values()]
    for source in sources:
        check(not source.startswith(".") or (DEPLOY / source).is_file(), f"compose.yaml: no {source}")
    for name, service in compose["services"].items():
        hardened = service.get("read_only") and service.get("cap_drop") == ["ALL"]
        check(hardened and "no-new-privileges:true" in service["security_opt"], f"compose.yaml: {name}")


def main() -> None:
    files = parsed()
    if FAULTS:
        return
    compose, prometheus = only(files, "compose.yaml"), only(files, "prometheus/prometheus.yml")
    names = ("deployment", "service", "networkpolicy", "pdb", "pvc", "kustomization")
    kubernetes = {name: only(files, f"kubernetes/{name}.yaml") for name in names}
    check_alerts(only(files, "prometheus/alerts.yml"))
    check_dashboard(only(files, "grafana/weir.json"))
    check_ports(compose, prometheus, kubernetes)
    check_times(compose, kubernetes)
    check_versions(kubernetes)
    check_state(compose, kubernetes)
    check_resources(kubernetes)
    check_mounts(compose)


main()
for fault in FAULTS:
    print(fault, file=sys.stderr)
sys.exit(bool(FAULTS))
