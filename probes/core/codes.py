"""The stable codes of problems, each with its page for ``probes explain CODE``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a code means, an example that is wrong (None where it would be too long to print), and the mend."""

    meaning: str
    wrong: str | None
    mend: str

    def __str__(self) -> str:
        parts = [self.meaning]
        if self.wrong is not None:
            parts.append("Wrong:\n" + "\n".join(f"    {line}" for line in self.wrong.splitlines()))
        if self.wrong is None:
            parts.append(f"What to do: {self.mend}")
        else:
            parts.append("Right:\n" + "\n".join(f"    {line}" for line in self.mend.splitlines()))
        return "\n\n".join(parts)


CODES: Final[dict[str, Explanation]] = {
    # The file as YAML.
    "yaml": Explanation(
        "The file is not YAML from this place on: a tab, an open quote or bracket, or a character that YAML keeps for itself.",
        "checks:\n  quote:\n    http: {{ base }}/quotes",
        "checks:\n  quote:\n    http: ${{ var.base }}/quotes",
    ),
    "encoding": Explanation(
        "The file holds bytes that are not UTF-8, or invisible control characters. YAML allows neither.",
        None,
        "Save the file as UTF-8 and delete the character at the place shown; in double quotes it can be written as \\x1b.",
    ),
    "empty": Explanation(
        "The file says nothing, or only comments.",
        "# checks to come",
        "version: 1\nchecks:\n  home:\n    http: GET https://shop.example",
    ),
    "duplicate-key": Explanation(
        "The same key is written twice in one mapping. YAML libraries silently keep the last one; here it is an error.",
        "checks:\n  home: {http: GET https://a.example}\n  home: {http: GET https://b.example}",
        "checks:\n  home-a: {http: GET https://a.example}\n  home-b: {http: GET https://b.example}",
    ),
    "too-large": Explanation(
        "A configuration file may be 1 MB.", None, "Split it into several files and name them under `include`."
    ),
    "too-deep": Explanation(
        "Mappings and lists may be nested in each other 64 levels deep, aliases included.",
        None,
        "Remove the nesting; a deep JSON body can be sent as text with `body`.",
    ),
    "too-many-values": Explanation(
        "A file may hold 100,000 values once its aliases are written out. A few lines of aliases can stand for billions.",
        None,
        "Split the file with `include`, or use fewer aliases.",
    ),
    "alias-loop": Explanation(
        "An alias points into the value that contains it, so the value would never end.",
        "defaults: &d\n  tags: [*d]",
        "defaults: &d\n  tags: [tier-1]",
    ),
    "tag": Explanation(
        "YAML tags (`!name`, `!!str`) are not used here: they make a parser build things.",
        "version: !!str 1",
        'version: "1"   # quotes make text',
    ),
    "not-text-key": Explanation(
        "A key must be text, but YAML reads this one as a number, a boolean, null, a list or a mapping.",
        "headers: {404: x}",
        'headers: {"404": x}',
    ),
    "mapping-line": Explanation(
        "YAML took a line of text for a mapping, because it contains `: `.",
        'must:\n  - body.message == "error: none"',
        "must:\n  - 'body.message == \"error: none\"'",
    ),
    "comment-line": Explanation(
        "YAML took the end of a line of text for a comment, because it contains ` #`.",
        'must:\n  - body.title == "issue #1"',
        "must:\n  - 'body.title == \"issue #1\"'",
    ),
    # Keys and shapes.
    "unknown-key": Explanation("There is no such key in this place.", "evry: 1h", "every: 1h"),
    "missing-key": Explanation("A key that must be there is not.", "checks: {}", "version: 1\nchecks: {}"),
    "type": Explanation(
        "The value is of another sort than the key takes.", "checks: [home]", "checks: {home: {http: GET https://a.example}}"
    ),
    "value": Explanation("The value is of the right sort, but not one of those allowed.", "retries: -1", "retries: 1"),
    "short-form": Explanation(
        "The one-line form of this kind could not be read. `probes explain` of the kind shows its form.",
        "tls: shop.example:https",
        "tls: shop.example:443",
    ),
    "one-kind": Explanation(
        "A check probes one thing: it needs exactly one of the kind keys (http, tcp, tls, dns ...).",
        "home:\n  http: GET https://a.example\n  tcp: a.example:443",
        "home:\n  http: GET https://a.example\nport:\n  tcp: a.example:443",
    ),
    "unknown-kind": Explanation("There is no kind of that name.", "htp: GET https://a.example", "http: GET https://a.example"),
    "id": Explanation(
        "An id is 1 to 63 lower-case letters, digits and hyphens, and starts with a letter or digit.",
        "checks:\n  Price_Quote: {}",
        "checks:\n  price-quote: {}",
    ),
    "unit": Explanation("A duration, size or percentage needs its unit.", "every: 60", "every: 60s"),
    "time": Explanation("The time could not be read, or has no zone.", "starts: 2026-03-01T01:00", 'starts: "2026-03-01T01:00Z"'),
    "zone": Explanation("There is no such time zone in the IANA list.", "zone: Europe/Dubln", "zone: Europe/Dublin"),
    "slo": Explanation("An objective is a percentage over a time.", "slo: 99.95", "slo: 99.95% over 30d"),
    "every": Explanation("A check runs every 10 seconds (1 second on a laptop) to every 30 days.", "every: 10ms", "every: 10s"),
    "timeout": Explanation(
        "All attempts of a run must fit in its period: timeout times attempts may not be above `every`.",
        "every: 10s\ntimeout: 10s\nretries: 1",
        "every: 30s\ntimeout: 10s\nretries: 1",
    ),
    "quorum": Explanation(
        "More locations must agree than the check has, or more runs fail than are looked at.",
        "locations: [dublin]\nconfirm: {runs: 3 of 2, locations: 2}",
        "locations: [dublin]\nconfirm: {runs: 2 of 3, locations: any}",
    ),
    "url": Explanation(
        "The URL could not be used: it needs http:// or https:// and a host.",
        "http: GET shop.example",
        "http: GET https://shop.example",
    ),
    "address": Explanation(
        "An address is a host name or IP address and a port.", "tcp: db.shop.example", "tcp: db.shop.example:5432"
    ),
    "ssrf": Explanation(
        "This address is never probed: cloud metadata services and link-local addresses hand out credentials to whoever asks.",
        "http: GET http://169.254.169.254/latest/meta-data",
        "http: GET https://shop.example/health",
    ),
    "regex": Explanation(
        "The regular expression could not be compiled. The engine is RE2, which takes linear time on any text: it has no "
        "lookaround and no backreferences. A backslash is written twice, because texts use JSON escapes.",
        r'body matches "(?!error)ok"',
        'body not matches "error"',
    ),
    # Assertions.
    "assertion": Explanation(
        "An assertion is `fact operator value`. There is no `and`: write two lines. There is no `or`: use `in`.",
        "status == 200 or status == 204",
        "status in [200, 204]",
    ),
    "assertion-type": Explanation(
        "The operator or the value does not go with the type of the fact, so the assertion could never be true.",
        "latency < 300",
        "latency < 300ms",
    ),
    "unknown-fact": Explanation("The kind of this check has no such fact.", "latecny < 300ms", "latency < 300ms"),
    "unknown-operator": Explanation(
        "The operators are ==, !=, <, <=, >, >=, in, not in, contains, not contains, matches, not matches.",
        "status = 200",
        "status == 200",
    ),
    # Names that point elsewhere.
    "unknown-location": Explanation("No location of that name is declared.", "locations: [virgina]", "locations: [virginia]"),
    "unknown-group": Explanation("No group of that name is declared under `groups`.", "group: chekout", "group: checkout"),
    "unknown-check": Explanation("No check has that id.", "depends_on: [resolvr]", "depends_on: [resolver]"),
    "unknown-channel": Explanation("No channel of that name is declared under `channels`.", "notify: [oncal]", "notify: [oncall]"),
    "unknown-variable": Explanation("No variable of that name is declared under `variables`.", "${{ var.apii }}", "${{ var.api }}"),
    "unknown-secret": Explanation(
        "No secret of that name is declared under `secrets`.", "${{ secret.TOKN }}", "${{ secret.TOKEN }}"
    ),
    "unknown-step": Explanation(
        "No earlier step has that id, or it captures nothing of that name.", "${{ step.login.tokn }}", "${{ step.login.token }}"
    ),
    "template": Explanation(
        "References are `${{ var.name }}`, `${{ secret.NAME }}`, `${{ step.id.name }}` and `${{ run.id }}`, in values only. "
        "A literal `${{` is written `$${{`.",
        "url: ${{ api }}/v1",
        "url: ${{ var.api }}/v1",
    ),
    "secret-reference": Explanation(
        "A secret is a reference to where its value is kept (env:, file:, ssm:, secretsmanager:), never the value.",
        "secrets: {TOKEN: hunter2}",
        "secrets: {TOKEN: env:TOKEN}",
    ),
    "cycle": Explanation(
        "Checks depend on each other in a circle.", "a: {depends_on: [b]}\nb: {depends_on: [a]}", "a: {depends_on: [b]}\nb: {}"
    ),
    "include": Explanation(
        "An included file could not be read, or the pattern matches none.", "include: [team/*.yaml]", "include: [teams/*.yaml]"
    ),
    "include-outside": Explanation(
        "An included file must lie in the folder of checks.yaml or below it.",
        "include: [../other.yaml]",
        "include: [teams/other.yaml]",
    ),
    "limit": Explanation("A limit of the product is passed; the message names it.", None, "Make it smaller, or split it."),
    "not-allowed": Explanation(
        "This kind runs what it is given, so it is off until the file itself says otherwise.",
        "checks: {login: {script: checks/login.py:login}}",
        "scripts: allowed\nchecks: {login: {script: checks/login.py:login}}",
    ),
    "place": Explanation(
        "This kind cannot look from the place of one of the check's locations; the message says why.",
        "locations: {dublin: aws:eu-west-1}\nchecks: {router: {icmp: 192.0.2.1}}",
        "locations: {office: local}\nchecks: {router: {icmp: 192.0.2.1}}",
    ),
    "not-here": Explanation("This version does not have the feature; the message says why.", None, "Remove the key."),
    # Warnings.
    "no-route": Explanation(
        "Nobody is told about incidents of this configuration: there is no route, so they go to the console only.",
        "channels: {chat: {console: {}}}",
        "channels: {chat: {console: {}}}\nroutes:\n  - notify: [chat]",
    ),
    "unused": Explanation(
        "This is declared, but nothing uses it.", "variables: {api: https://a.example}", "url: ${{ var.api }}/v1"
    ),
}
