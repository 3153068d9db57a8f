"""Headers of the backend's replies: quota families, routing, Cloudflare, cookies (wire.md §5).

Pure: a context in, a list of headers out. The faults F18, F23 and F24 bite here.
"""

from __future__ import annotations

from email.utils import formatdate

from providers.simulator.accounts import SimAccount
from providers.simulator.faults import Drawn
from providers.simulator.http import Headers
from providers.simulator.ids import Ids
from providers.simulator.quota import Bucket, Window

FAR_FUTURE_S = 400 * 86_400


def edge_headers(ids: Ids, now: float) -> Headers:
    """Return what Cloudflare and the front door add to every reply."""
    request_id = ids.request()
    return [
        ("date", formatdate(now, usegmt=True)),
        ("server", "cloudflare"),
        ("cf-ray", ids.ray()),
        ("x-request-id", request_id),
        ("x-oai-request-id", request_id),
    ]


def quota_headers(account: SimAccount, bucket: Bucket, now: float, faults: Drawn) -> Headers:
    """Return the quota headers of a reply, spoilt as F18 and F23 ask."""
    lines = [*account.bucket.headers(now)]
    if bucket is not account.bucket:
        lines += bucket.headers(now)
    lines += [
        ("x-codex-active-limit", bucket.limit_id),
        ("x-codex-plan-type", account.plan),
        *account.credits.headers(),
    ]
    if "F23" in faults and faults["F23"].has("reset_far"):
        far = str(int(now) + FAR_FUTURE_S)
        lines = [(name, far if name.endswith("-reset-at") else value) for name, value in lines]
    fault = faults.get("F18")
    if fault is None:
        return lines
    if fault.has("missing"):
        return []
    if fault.has("malformed"):
        junk = {"-used-percent": "lots", "-reset-at": "tomorrow", "-window-minutes": "", "-has-credits": "maybe"}
        return [(name, next((bad for end, bad in junk.items() if name.endswith(end)), value)) for name, value in lines]
    if fault.has("nan"):
        return [(name, "NaN" if name.endswith("-used-percent") else value) for name, value in lines]
    if fault.has("only_secondary"):
        return [(name, value) for name, value in lines if "-primary-" not in name]
    if fault.has("extra_family"):
        extra = Bucket("codex_moonfish", "Moonfish preview", Window(43_200, 55.5), None)
        return [*lines, *extra.headers(now)]
    weekly = Bucket("codex", None, Window(10_080, account.secondary.used_percent), None)
    return [*weekly.headers(now), *(line for line in lines if "primary" not in line[0] and "secondary" not in line[0])]


def spent_headers(account: SimAccount, now: float, faults: Drawn) -> Headers:
    """Return the quota headers that go with a 429 of F1: the body and they must tell the same story."""
    lines = quota_headers(account, account.bucket, now, faults)
    fault = faults.get("F1")
    if fault is None:
        return lines
    if fault.params.get("headers") is False:
        return []
    seconds = -60 if fault.has("past") else int(fault.params.get("seconds", 5400))
    told = {
        "x-codex-primary-used-percent": "100.0",
        "x-codex-primary-reset-at": str(int(now) + seconds),
        "x-codex-primary-reset-after-seconds": str(max(0, seconds)),
    }
    lines = [(name, told.get(name, value)) for name, value in lines]
    return [*lines, ("x-codex-rate-limit-reached-type", "rate_limit_reached")]


def cookie_headers(ids: Ids, faults: Drawn, *, is_secure: bool) -> Headers:
    """Return the cookies the edge sets; host-only, so that a simulator on loopback can see them come back."""
    attributes = "Path=/; HttpOnly; SameSite=None" + ("; Secure" if is_secure else "")
    fault = faults.get("F24")
    if fault is not None and fault.has("max_age_zero"):
        return [
            ("set-cookie", f"cf_clearance=; Max-Age=0; {attributes}"),
            ("set-cookie", f"__cf_bm=; Max-Age=0; {attributes}"),
        ]
    return [
        ("set-cookie", f"__cf_bm={ids.hex(40)}; Max-Age=1800; {attributes}"),
        ("set-cookie", f"__cflb={ids.hex(32)}; Max-Age=3600; {attributes}"),
        ("set-cookie", f"__oailb={ids.hex(32)}; Max-Age=3600; {attributes}"),
    ]
