"""Strike report: what 10,000 reports of wildlife striking aircraft can say, and how surely.

Reads the FAA Wildlife Strike Database as CSV, puts 95 % intervals around the share of strikes that did damage (by
species, state, year, ...), around speeds and costs, and writes a JSON result, species.csv and report.html. In a sandbox
SYMBI_* variables name input, parameters and outputs; from a shell it reads the birdstrikes.csv beside it and writes to
./strike-report-output. Exit codes: 0 done, 2 the input or a parameter is unusable (stderr says why).
"""

import argparse
import contextlib
import csv
import datetime
import html
import http.client
import json
import math
import os
import random
import socket
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import linear_regression, median
from typing import Callable, NamedTuple

SEED = 1990                 # fixed: the same input gives the same intervals
RESAMPLES = 1600            # leaves 40 resamples beyond either end of a 95 % interval, enough to place the ends
BATCH = 50                  # resamples between two looks at the clock
PROGRESS_CPU_SECONDS = 0.5  # by CPU time: a frozen program says nothing, and no second has more than two reports
Z95 = 1.959964              # two-sided 95 % point of the normal distribution
FEWEST_COSTS = 5            # fewer known costs than this get no interval
FEWEST_REPORTS = 100        # smaller groups are shown, but not called the highest or lowest

MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
SPEEDS = ["under 100 kt", "100-149 kt", "150-199 kt", "200-249 kt", "250 kt or more", "not recorded"]
PHASES = ["Parked", "Taxi", "Take-off run", "Climb", "Descent", "Approach", "Landing Roll"]
ORDER = {"month": MONTHS, "speed": SPEEDS, "phase": PHASES, "time": ["Dawn", "Day", "Dusk", "Night"]}
GROUP_COLUMNS = {"species": "Wildlife Species", "state": "Origin State", "phase": "Phase of flight",
                 "size": "Wildlife Size", "time": "Time of day"}
OTHER_COLUMNS = ["Airport Name", "Effect Amount of damage", "Flight Date", "Aircraft Airline Operator",
                 "Cost Total $", "Speed IAS in knots"]


class Strike(NamedTuple):
    airport: str
    damaging: int           # 1 if any damage was reported, else 0
    cost: float             # US dollars, repair and other; 0 stands for "not stated"
    speed: float | None     # knots indicated
    groups: dict[str, str]  # factor -> group, such as "species" -> "Mallard"


def read_strikes(path: Path) -> list[Strike]:
    """Every report in the file; a ValueError says what is wrong with it and names the line."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            missing = [c for c in [*GROUP_COLUMNS.values(), *OTHER_COLUMNS] if c not in (reader.fieldnames or [])]
            if missing:
                raise ValueError(f"the header lacks: {', '.join(missing)}" if reader.fieldnames else "the file is empty")
            strikes = [parse_strike(row) for row in reader]
        except (csv.Error, ValueError) as error:
            raise ValueError(f"{path}, near line {reader.line_num}: {error}") from error
    if not strikes:
        raise ValueError(f"{path} has a header but no reports")
    return strikes


def parse_strike(row: dict) -> Strike:
    if None in row or None in row.values():
        raise ValueError("the number of fields differs from the header's")
    airport, damage, date, operator, cost, speed = (row[column].strip() for column in OTHER_COLUMNS)
    if not damage:
        raise ValueError('"Effect Amount of damage" is empty')
    year, month = datetime.date.fromisoformat(date).timetuple()[:2]
    dollars, knots = float(cost or 0), float(speed) if speed else None
    if not (0 <= dollars < math.inf and 0 <= (knots or 0) < math.inf):
        raise ValueError(f"cost {cost!r} or speed {speed!r} is not a number of 0 or more")
    groups = {factor: row[column].strip() or "not recorded" for factor, column in GROUP_COLUMNS.items()}
    groups["year"], groups["month"] = str(year), MONTHS[month - 1]
    groups["speed"] = SPEEDS[-1] if knots is None else SPEEDS[min(4, max(0, int(knots // 50) - 1))]
    groups["operator"] = "military" if operator.upper() == "MILITARY" else "civil"
    return Strike(airport, int(damage.lower() != "none"), dollars, knots, groups)


def group_by(strikes: list[Strike], factor: str) -> dict[str, list[Strike]]:
    """Groups in their natural order if they have one (years by number), else the largest first."""
    groups = defaultdict(list)
    for strike in strikes:
        groups[strike.groups[factor]].append(strike)
    order = sorted(groups) if factor == "year" else ORDER.get(factor, [])
    return dict(sorted(groups.items(), key=lambda group: (
        order.index(group[0]) if group[0] in order else len(order), -len(group[1]), group[0])))


class Job(NamedTuple):
    """One bootstrap: draw len(values) of the values with replacement, take the statistic, many times over."""
    key: tuple[str, str, str]    # measure, factor, group
    values: list
    statistic: Callable[[list], float]
    weight: float = 1            # work per value against that of a mean: only the percentage depends on it


def mean(values: list) -> float:
    return sum(values) / len(values)


def yearly_slope(airports: list[dict[int, list[int]]]) -> float:
    """Change of the damaging share per year, by a straight line through the yearly shares of these airports."""
    years = defaultdict(list)
    for airport in airports:
        for year, damaging in airport.items():
            years[year] += damaging
    return linear_regression(list(years), list(map(mean, years.values()))).slope if len(years) > 1 else 0.0


def wilson(successes: int, n: int) -> list[float]:
    """Wilson's 95 % score interval: honest at 0 of n too, where a bootstrap's interval has no width."""
    share, z2 = successes / n, Z95 * Z95
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return [round(max(0.0, middle - half), 6), round(min(1.0, middle + half), 6)]


def percentile_interval(resampled: list | None) -> list | None:
    if not resampled:
        return None
    ordered, tail = sorted(resampled), int(0.025 * len(resampled))
    return [round(ordered[tail], 6), round(ordered[-1 - tail], 6)]


def plan(groups: dict[str, dict[str, list[Strike]]], trend_years: list[str]) -> list[Job]:
    airports = defaultdict(lambda: defaultdict(list))
    for year in trend_years:
        for strike in groups["year"][year]:
            airports[strike.airport][int(year)].append(strike.damaging)
    jobs = [Job(("trend", "all", "airports"), list(airports.values()), yearly_slope, 50)] if airports else []
    for factor, members in groups.items():
        for name, rows in members.items():
            jobs.append(Job(("share", factor, name), [s.damaging for s in rows], mean))
            if factor in ("all", "species", "state"):
                if speeds := [s.speed for s in rows if s.speed is not None]:
                    jobs.append(Job(("median speed", factor, name), speeds, median, 2))
                costs = [s.cost for s in rows if s.cost]
                if len(costs) >= FEWEST_COSTS:
                    jobs += [Job(("mean cost", factor, name), costs, mean),
                             Job(("median cost", factor, name), costs, median, 2)]
    return jobs


def run_jobs(jobs: list[Job], resamples: int, progress: "Progress") -> dict[tuple, list]:
    """The resampled statistics by job key. Each job has its own generator, so none depends on the others."""
    efforts = [15 + len(job.values) * job.weight for job in jobs]    # a resample itself costs about 15 draws
    results, finished, done = {}, 0.0, 0
    for job, effort in zip(jobs, efforts):
        measure, factor, name = job.key
        draw, size = random.Random(f"{SEED} {job.key}").choices, len(job.values)
        results[job.key] = resampled = []
        while len(resampled) < resamples:
            count = min(BATCH, resamples - len(resampled))
            resampled += [job.statistic(draw(job.values, k=size)) for _ in range(count)]
            done += count
            share_done = (finished + effort * len(resampled) / resamples) / sum(efforts)
            progress.tell(100 * share_done, f"bootstrapping {factor}: {name}, {measure} (n={size})", done)
        finished += effort
    return results


def rank_intervals(names: list[str], factor: str, resampled: dict) -> dict[str, list[int]]:
    """Where each group stands by damaging share in 95 % of the resamples; 1 is the most damaging."""
    ranks = {name: [] for name in names}
    for shares in zip(*(resampled["share", factor, name] for name in names)):
        descending = sorted(shares, reverse=True)
        for name, share in zip(names, shares):
            ranks[name].append(1 + descending.index(share))
    return {name: percentile_interval(places) for name, places in ranks.items()}


def summarise(factor: str, name: str, rows: list[Strike], resampled: dict) -> dict:
    share, speed, average, middle = (percentile_interval(resampled.get((measure, factor, name)))
                                     for measure in ("share", "median speed", "mean cost", "median cost"))
    damaging, costs = sum(s.damaging for s in rows), sorted(s.cost for s in rows if s.cost)
    speeds = [s.speed for s in rows if s.speed is not None]
    return {"name": name, "reports": len(rows), "damaging": damaging, "airports": len({s.airport for s in rows}),
            "share": round(damaging / len(rows), 6), "wilson": wilson(damaging, len(rows)), "bootstrap": share,
            "speed_knots": {"n": len(speeds), "median": median(speeds) if speeds else None, "median_bootstrap": speed},
            "cost_usd": {"n": len(costs), "total": sum(costs), "ten_largest": sum(costs[-10:]),
                         "mean": round(mean(costs), 2) if costs else None, "mean_bootstrap": average,
                         "median": median(costs) if costs else None, "median_bootstrap": middle}}


def analyse(strikes: list[Strike], top: int, resamples: int, progress: "Progress") -> dict:
    """All that result, table and page show. Shares are fractions of 1."""
    groups = {"all": {"reports": strikes}} | {factor: group_by(strikes, factor) for factor in strikes[0].groups}
    # Years covered only in part would show their season as a trend; fewer than three make no trend.
    full = [year for year, rows in groups["year"].items() if {"Jan", "Dec"} <= {s.groups["month"] for s in rows}]
    resampled = run_jobs(plan(groups, full), resamples, progress)
    found = {factor: [summarise(factor, name, rows, resampled) for name, rows in members.items()]
             for factor, members in groups.items()}
    identified = [s for s in found["species"] if not s["name"].lower().startswith(("unknown", "not recorded"))]
    ranked = {}
    for factor, most_reported in (("species", identified[:top]), ("state", found["state"][:top])):
        intervals = rank_intervals([group["name"] for group in most_reported], factor, resampled)
        ranked[factor] = sorted((group | {"rank": intervals[group["name"]]} for group in most_reported),
                                key=lambda group: -group["share"])
    trend = None if len(full) < 3 else {
        "from": full[0], "to": full[-1], "share_per_year": round(linear_regression(
            list(map(int, full)), [group["share"] for group in found["year"] if group["name"] in full]).slope, 6),
        "bootstrap": percentile_interval(resampled["trend", "all", "airports"])}
    seasons = {phase: [{"name": month[0], "reports": sum(s.groups["month"] == month for s in rows),
                        "damaging": sum(s.groups["month"] == month and s.damaging for s in rows)} for month in MONTHS]
               for phase, rows in groups["phase"].items()}
    more = {"identified_species": len(identified), "identified_reports": sum(s["reports"] for s in identified),
            "resamples_done": sum(map(len, resampled.values()))}
    return {"totals": found["all"][0] | more, "top_species": ranked["species"], "top_states": ranked["state"],
            "trend": trend, "phases_by_month": seasons, "by": {factor: found[factor] for factor in strikes[0].groups}}


STYLE = """
:root { color-scheme:light dark; --page:#f6f5f1; --card:#fff; --ink:#1c2430; --soft:#586374; --line:#e1dfd8;
  --bar:#a9c6e3; --deep:#174a7c; --mean:#b3441a; --map:#8f3208 }
@media (prefers-color-scheme:dark) { :root { --page:#11151b; --card:#191f27; --ink:#e9ecf0; --soft:#a3aebb;
  --line:#303944; --bar:#31618f; --deep:#d5e6f7; --mean:#ff9c68; --map:#ffb067 } }
* { box-sizing:border-box } body { margin:0; background:var(--page); color:var(--ink); font:16px/1.5 system-ui,sans-serif }
main { max-width:1140px; margin:auto; padding:3rem 1.2rem } h1 { font-size:2.5rem; line-height:1.15; margin:.2rem 0 .6rem }
h2 { font-size:1.45rem; margin:2.6rem 0 .2rem } h3 { font-size:1rem; margin:0 0 .6rem } li { margin:.55rem 0 }
p { max-width:48rem; margin:.6rem 0 } .soft, small { color:var(--soft) } ul { padding-left:1.1rem; margin:0 }
.grid { display:grid; gap:1rem; margin-top:1rem; grid-template-columns:repeat(auto-fit,minmax(min(100%,27rem),1fr)) }
.three { grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr)) } .big { font-size:2.1rem; font-weight:650 }
.four { grid-template-columns:repeat(auto-fit,minmax(13rem,1fr)) } .one { grid-template-columns:minmax(0,1fr) }
.card { background:var(--card); border:1px solid var(--line); border-radius:12px; padding:1.1rem 1.2rem; overflow-x:auto }
svg { display:block; width:100%; height:auto } text { fill:var(--ink); font-size:13px } text.soft { fill:var(--soft) }
text, td { font-variant-numeric:tabular-nums } .end { text-anchor:end } .mid { text-anchor:middle } .bold { font-weight:650 }
.bar { fill:var(--bar) } .part { fill:var(--deep) } .tile { fill:var(--map) } text.over { fill:var(--card) }
.axis, .tile { stroke:var(--line) } table { width:100% } .whisker { stroke:var(--deep); stroke-width:1.6; fill:none }
.mean { stroke:var(--mean); stroke-width:1.5; stroke-dasharray:4 3 } .differs { stroke:var(--ink); stroke-width:2.5 }
.halo { paint-order:stroke; stroke:var(--card); stroke-width:4px } table { border-collapse:collapse; font-size:.8rem }
td { border-top:1px solid var(--line); text-align:right; padding:.35rem .45rem; white-space:nowrap }
thead td { border:0; color:var(--soft); font-weight:600 } td:first-child { text-align:left; padding-left:0 }
"""
STATES = """Alabama AL 7 6,Alaska AK 0 0,Arizona AZ 1 5,Arkansas AR 4 5,California CA 0 4,Colorado CO 2 4,Connecticut CT 9 3,
DC DC 8 5,Delaware DE 9 4,Florida FL 8 7,Georgia GA 8 6,Hawaii HI 0 7,Idaho ID 1 2,Illinois IL 5 2,Indiana IN 5 3,Iowa IA 4 3,
Kansas KS 3 5,Kentucky KY 5 4,Louisiana LA 4 6,Maine ME 10 0,Maryland MD 8 4,Massachusetts MA 10 2,Michigan MI 7 2,
Minnesota MN 4 2,Mississippi MS 5 6,Missouri MO 4 4,Montana MT 2 2,Nebraska NE 3 4,Nevada NV 1 3,New Hampshire NH 10 1,
New Jersey NJ 8 3,New Mexico NM 2 5,New York NY 8 2,North Carolina NC 6 5,North Dakota ND 3 2,Ohio OH 6 3,Oklahoma OK 3 6,
Oregon OR 0 3,Pennsylvania PA 7 3,Rhode Island RI 9 2,South Carolina SC 7 5,South Dakota SD 3 3,Tennessee TN 5 5,Texas TX 3 7,
Utah UT 1 4,Vermont VT 9 1,Virginia VA 7 4,Washington WA 0 2,West Virginia WV 6 4,Wisconsin WI 6 2,Wyoming WY 2 3"""
MAP_SCALE = [(0, 0.1, "under 6%"), (0.06, 0.25, "6–9%"), (0.09, 0.45, "9–12%"), (0.12, 0.8, "12–15%"), (0.15, 1, "over 15%")]
METHOD = """Any reported damage counts, the military's classes too. Shares carry Wilson's 95% interval and the percentile
bootstrap's (a group's reports drawn with replacement, as many as it has), means and medians the bootstrap's only. The trend is
a line through the shares of full years, its interval from drawing whole airports, because reports from one airport are alike."""


def percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def between(interval: list, form: str = "share") -> str:
    low, high = (f"{100 * end:.1f}" if form == "share" else f"{end:{form}}" for end in interval)
    return (f"{low}–{high}" if low != high else low) + ("%" if form == "share" else "")


def svg(width: float, height: float, title: str, body: list[str]) -> str:
    title = html.escape(title)
    drawing = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{title}">{"".join(body)}</svg>'
    return f'<div class="card"><h3>{title}</h3>{drawing}</div>'


def text(x: float, y: float, content: object, css: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{css}">{html.escape(str(content))}</text>'


def share_chart(title: str, groups: list[dict], overall: float) -> str:
    """A bar a group, Wilson's interval as whisker, the overall share as dashed line; rank intervals if there are any."""
    ranked, limit = "rank" in groups[0], math.ceil(10 * max(g["wilson"][1] for g in groups)) / 10
    left, right, bottom = 155, 360 if ranked else 410, 26 + 25 * len(groups)
    scale, step = (right - left) / limit, 0.1 if limit < 0.45 else 0.2
    body = [text(right + 108, 13, "reports", "soft end"), text(520, 13, "rank", "soft end") if ranked else ""]
    for tick in range(int(limit / step + 1.001)):
        x = left + scale * step * tick
        body += [f'<path class="axis" d="M{x:.1f} 20V{bottom}"/>', text(x, 13, f"{100 * step * tick:.0f}%", "soft mid")]
    for y, group in zip(range(26, bottom, 25), groups):
        low, high = (left + scale * end for end in group["wilson"])
        body += [f'<rect class="bar" x="{left}" y="{y + 2}" width="{scale * group["share"]:.1f}" height="16"/>',
                 f'<path class="whisker" d="M{low:.1f} {y + 6}v8m0 -4H{high:.1f}m0 -4v8"/>',
                 text(left - 10, y + 15, group["name"], "end"), text(right + 56, y + 15, percent(group["share"]), "end"),
                 text(right + 108, y + 15, f'{group["reports"]:,}', "soft end"),
                 text(520, y + 15, between(group["rank"], "d"), "soft end") if ranked else ""]
    body.append(f'<path class="mean" d="M{left + scale * overall:.1f} 20V{bottom}"/>')
    return svg(520, bottom + 4, title, body)


def column_chart(title: str, groups: list[dict], overall: float | None = None, width: int = 520) -> str:
    """Columns of reports, the damaging ones dark; or, given the overall share, of damaging shares with whiskers."""
    shares, labels = overall is not None, []
    key, tops = ("share", [g["wilson"][1] for g in groups]) if shares else ("reports", [g["reports"] for g in groups])
    scale, slot, body = 140 / max(tops), width / len(groups), [f'<path class="axis" d="M0 170H{width}"/>']
    for index, (group, top) in enumerate(zip(groups, tops)):
        middle, top = slot * (index + 0.5), 170 - scale * top
        for css, height in (("bar", group[key]), ("part", 0 if shares else group["damaging"])):
            body.append(f'<rect class="{css}" x="{middle - 0.36 * slot:.1f}" y="{170 - scale * height:.1f}" '
                        f'width="{0.72 * slot:.1f}" height="{scale * height:.1f}"/>')
        if shares:
            low = 170 - scale * group["wilson"][0]
            body.append(f'<path class="whisker" d="M{middle - 4:.1f} {low:.1f}h8m-4 0V{top:.1f}m-4 0h8"/>')
        caption = f"{100 * group['share']:.0f}%" if shares else f"{group['reports']:,}"
        labels += [text(middle, top - 6, caption, "soft mid halo"), text(middle, 188, group["name"], "soft mid")]
    body.append(f'<path class="mean" d="M0 {170 - scale * overall:.1f}H{width}"/>' if shares else "")
    return svg(width, 194, title, body + labels)


def state_map(title: str, states: list[dict], overall: float) -> str:
    """A tile a state, coloured by damaging share; a heavy outline where its interval excludes the overall share."""
    known, body = {state["name"]: state for state in states}, []
    for entry in STATES.split(","):
        name, code, column, row = entry.strip().rsplit(" ", 3)
        x, y = 48 * int(column) + 1, 48 * int(row) + 2
        if not (state := known.get(name)):
            css, shade, words = "tile", 0.0, text(x + 22, y + 27, code, "mid soft")
        else:
            css = "tile" if state["wilson"][0] <= overall <= state["wilson"][1] else "tile differs"
            shade = max(shade for step, shade, _ in MAP_SCALE if state["share"] >= step)
            words = "".join([f"<title>{name}: {between(state['wilson'])} of {state['reports']:,} reports</title>",
                             text(x + 22, y + 19, code, "mid bold over" if shade > 0.5 else "mid bold"),
                             text(x + 22, y + 36, percent(state["share"]), "mid over" if shade > 0.5 else "mid")])
        body.append(f'<g><rect class="{css}" x="{x}" y="{y}" width="44" height="44" rx="5" fill-opacity="{shade}"/>{words}</g>')
    for x, (_, shade, label) in zip(range(1, 501, 100), MAP_SCALE):
        body.append(f'<rect class="tile" x="{x}" y="400" width="14" height="14" fill-opacity="{shade}"/>')
        body.append(text(x + 20, 412, label, "soft"))
    return svg(530, 420, title, body)


def findings(result: dict) -> list[str]:
    """Sentences made from the figures; what the file does not hold is left out. The words before ':' stand out."""
    def named(group: dict) -> str:
        return f"{group['name']} {percent(group['share'])} ({between(group['wilson'])})"

    lines = [f"{percent(result['totals']['share'])} of strikes did damage: groups of {FEWEST_REPORTS} reports or more compare so."]
    compared = {"Species": result["top_species"], "Size": result["by"]["size"], "Season": result["by"]["month"],
                "Phase of flight": result["by"]["phase"], "State": result["by"]["state"]}
    for title, groups in compared.items():
        ordered = sorted((g for g in groups if g["reports"] >= FEWEST_REPORTS), key=lambda g: g["share"])
        if len(ordered) > 1:
            most = max(ordered, key=lambda g: g["reports"])
            lines.append(f"{title}: the damaging share is highest for {named(ordered[-1])}, lowest for {named(ordered[0])}; "
                         f"{most['name']} has most reports, {most['reports']:,}.")
    if trend := result["trend"]:
        low, high = (100 * end for end in trend["bootstrap"])
        verdict = "No clear trend" if low <= 0 <= high else "A rising share" if low > 0 else "A falling share"
        lines.append(f"{verdict}: the damaging share changed by {100 * trend['share_per_year']:+.2f} points a year from "
                     f"{trend['from']} to {trend['to']} ({low:+.2f} to {high:+.2f}).")
    return lines


def caveats(result: dict) -> list[str]:
    total, reports, cost = result["totals"], result["totals"]["reports"], result["totals"]["cost_usd"]
    spread = (f" Median ${with_interval(cost)}, mean ${cost['mean']:,.0f}; ten strikes make "
              f"{percent(cost['ten_largest'] / cost['total'])} of the sum." if cost["n"] else "")
    operators = " and ".join(f"{percent(g['share'])} of {g['reports']:,} {g['name']} reports" for g in result["by"]["operator"])
    return [f"Cost is stated in {cost['n']:,} of {reports:,} reports: zero may mean no cost or none stated.{spread}",
            f"{percent(1 - total['identified_reports'] / reports)} of reports name no species: what could be identified may "
            f"come from harder strikes. Speed is missing in {percent(1 - total['speed_knots']['n'] / reports)}.",
            f"Reports are not risks: reporting was voluntary, and the file holds {total['airports']} airports and no number "
            "of flights. More reports can mean more traffic or more diligence.",
            f"Who reports matters: damage is named in {operators}. A state is its few airports here, military or not.",
            "Chance remains: about one 95% interval in twenty misses the truth, and here are many."]


def flat(group: dict) -> dict:
    """One row of species.csv and of the page's tables; empty where nothing is known."""
    row = {key: group[key] for key in ("name", "reports", "airports", "damaging")} | {"share %": round(100 * group["share"], 1)}
    for method in ("wilson", "bootstrap"):
        row |= {f"{method} % {end}": round(100 * share, 1) for end, share in zip(("low", "high"), group[method])}
    for label, known in (("speed kt", group["speed_knots"]), ("cost $", group["cost_usd"])):
        low, high = known["median_bootstrap"] or (None, None)
        row |= {f"{label} n": known["n"], f"{label} median": known["median"], f"{label} low": low, f"{label} high": high}
    return row | {"cost $ total": group["cost_usd"]["total"]}


def with_interval(known: dict) -> str:
    interval = f" ({between(known['median_bootstrap'], ',.0f')})" if known["median_bootstrap"] else ""
    return f"{known['median']:,.0f}{interval}" if known["n"] else ""


def table(title: str, groups: list[dict]) -> str:
    rows = ["Name,Reports,Airports,Damaging,Share,Wilson,Bootstrap,Median kt,Costs,Median $,Sum $".split(",")]
    rows += [[g["name"], f"{g['reports']:,}", g["airports"], g["damaging"], percent(g["share"]), between(g["wilson"]),
              between(g["bootstrap"]), with_interval(g["speed_knots"]), g["cost_usd"]["n"], with_interval(g["cost_usd"]),
              f"{g['cost_usd']['total']:,.0f}"] for g in groups]
    head, *body = ["".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in rows]
    return f'<div class="card"><h3>{title}</h3><table><thead><tr>{head}</thead><tr>{"<tr>".join(body)}</table></div>'


def page(result: dict) -> str:
    def items(lines: list[str]) -> str:
        return "".join("<li><b>{}:</b>{}".format(*html.escape(line).split(":", 1)) for line in lines)

    total, method, by, overall = result["totals"], result["method"], result["by"], result["totals"]["share"]
    named, cost, years = total["identified_reports"], total["cost_usd"], [year["name"] for year in by["year"]]
    facts = [(f"{total['reports']:,}", f"reports from {total['airports']} airports, {years[0]}–{years[-1]}"),
             (percent(overall), f"did damage: {total['damaging']:,} reports (95% interval {between(total['wilson'])})"),
             (percent(named / total["reports"]), f"name a species: {named:,} reports, {total['identified_species']} species"),
             (f"{cost['n']:,}", f"reports state a cost, ${cost['total'] / 1e6:,.1f} million in all")]
    seasons = [column_chart(f"{g['name']}, {g['reports']:,} reports", result["phases_by_month"][g["name"]], width=360)
               for g in by["phase"] if g["reports"] >= FEWEST_REPORTS]
    species = share_chart("Most reported species", result["top_species"], overall) if result["top_species"] else ""
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Strike report</title><style>{STYLE}</style><main><p class="soft">FAA Wildlife Strike Database</p>
<h1>When wildlife meets aircraft</h1><p>Which strikes do damage, where and when, and how surely the reports tell.</p>
<div class="grid four">{"".join(f'<div class="card"><div class="big">{n}</div><small>{s}</small></div>' for n, s in facts)}</div>
<div class="grid"><div class="card"><h3>What the reports say</h3><ul>{items(result["findings"])}</ul></div>
<div class="card"><h3>What they cannot say</h3><ul>{items(result["caveats"])}</ul></div></div>
<h2>Which animals, which states</h2><p class="soft">Bars: share of strikes that did damage. Whiskers: its 95% interval
(Wilson). Dashed: the overall {percent(overall)}. Rank: range of places in 95% of the resamples. Few reports, wide whiskers.</p>
<div class="grid">{species}{share_chart("States with most reports", result["top_states"], overall)}
{state_map("Damaging share by state", by["state"], overall)}<div class="grid" style="margin:0">
{share_chart("Size of the animal", by["size"], overall)}{share_chart("Time of day", by["time"], overall)}</div></div>
<p class="soft">Heavy outline: the interval excludes the overall share. Empty: the file has no airport there.</p>
<h2>When</h2><p class="soft">The lower part of a column did damage. The first or last year may be covered in part.</p>
<div class="grid">{column_chart("Reports by month", by["month"])}
{column_chart("Damaging share by month", by["month"], overall)}{column_chart("Reports by year", by["year"])}
{column_chart("Damaging share by year", by["year"], overall)}</div>
<h2>How</h2><div class="grid">{share_chart("Phase of flight", by["phase"], overall)}
{share_chart("Speed at the strike", by["speed"], overall)}</div>
<h2>Each phase through the year</h2><div class="grid three">{"".join(seasons)}<div class="card"><h3>How to read these</h3>
<p class="soft">Reports by month; the lower part did damage. Every phase has a scale of its own: compare shapes.</p></div></div>
<h2>The numbers</h2><div class="grid one">{table("Species", by["species"])}{table("States", by["state"])}</div>
<h2>Method</h2><p>{html.escape(method['text'])} {method['resamples']:,} resamples a statistic, {total['resamples_done']:,} in
all; seed {method['seed']}; {method['cpu_seconds']} s of CPU.</p></main></html>
"""


class Progress:
    """Tells the log, and the gateway if there is one, where the work stands."""

    told_at = -math.inf

    def tell(self, percent_done: float, message: str, done: int) -> None:
        if time.process_time() - self.told_at >= PROGRESS_CPU_SECONDS:
            self.told_at = time.process_time()
            print(f"[{percent_done:3.0f}%] {message}, {done} resamples done", flush=True)
            if "SYMBI_SOCKET" in os.environ:
                self.post({"percent": round(percent_done, 1), "message": message})

    def post(self, body: dict) -> None:
        """Progress is a courtesy: a gateway that is away or slow does not stop the work."""
        with socket.socket(socket.AF_UNIX) as link, contextlib.suppress(OSError, http.client.HTTPException):
            link.settimeout(0.2)
            link.connect(os.environ["SYMBI_SOCKET"])
            connection = http.client.HTTPConnection("gateway")
            connection.sock = link
            connection.request("POST", "/v1/progress", json.dumps(body), {"Content-Type": "application/json"})
            connection.getresponse().read()


def settings() -> argparse.Namespace:
    """Arguments, overridden by the task's parameters, which are the more particular."""
    env, parser = os.environ, argparse.ArgumentParser(description=__doc__.split("\n")[0])
    reports = Path(env["SYMBI_INPUT"], "reports") if "SYMBI_INPUT" in env else Path(__file__).with_name("birdstrikes.csv")
    parser.add_argument("--reports", type=Path, default=reports, help="CSV file of reports")
    parser.add_argument("--output", type=Path, default=env.get("SYMBI_OUTPUT", "strike-report-output"))
    parser.add_argument("--top", type=int, default=20, help="how many species and states to rank")
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help="resamples per statistic")
    chosen = parser.parse_args()
    params = dict(json.loads(Path(env["SYMBI_PARAMS"]).read_text(encoding="utf-8"))) if "SYMBI_PARAMS" in env else {}
    for name, most in (("top", 100), ("resamples", 100_000)):
        value = params.get(name, getattr(chosen, name))
        if type(value) is not int or not 1 <= value <= most:
            raise ValueError(f"{name} must be a whole number from 1 to {most}, not {value!r}")
        setattr(chosen, name, value)
    return chosen


def main() -> int:
    try:
        chosen = settings()
        strikes = read_strikes(chosen.reports)
    except (OSError, TypeError, ValueError) as error:
        print(f"strike-report: {error}", file=sys.stderr)
        return 2
    print(f"read {len(strikes)} reports from {chosen.reports}", flush=True)
    found = analyse(strikes, chosen.top, chosen.resamples, Progress())
    result = {"findings": findings(found), "caveats": caveats(found), "method": {
        "text": METHOD.replace("\n", " "), "seed": SEED, "resamples": chosen.resamples,
        "cpu_seconds": round(time.process_time(), 2)}} | found
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "report.html").write_text(page(result), encoding="utf-8")
    with open(chosen.output / "species.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, flat(found["by"]["species"][0]))
        writer.writeheader()
        writer.writerows(map(flat, found["by"]["species"]))
    result_path = Path(os.environ.get("SYMBI_RESULT", chosen.output / "result.json"))
    result_path.write_text(json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    print(f"[100%] done, {found['totals']['resamples_done']} resamples done, {time.process_time():.1f} s of CPU", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
