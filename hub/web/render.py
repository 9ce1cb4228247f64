"""Templates and how values look in them: money, times, ages, signs, masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from hub.core.clock import at, real_ms
from hub.core.money import MINUS, from_cents, shown
from hub.web.masking import Piece
from hub.web.words import Sign, sign

DOTS = "\N{BULLET}" * 6
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def make_environment(zone: ZoneInfo) -> Environment:
    """The templates with their filters; text is escaped everywhere, and an unknown name is an error."""
    environment = Environment(
        loader=PackageLoader("hub.web"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        money=money,
        amount=amount,
        signed=signed,
        quantity=quantity,
        thousands=thousands,
        megabytes=megabytes,
        ago=lambda then: age(real_ms() - then),
        age=age,
        took=took,
        clock=lambda then: at(then, zone).strftime("%H:%M:%S"),
        clock_ms=lambda then: at(then, zone).strftime("%H:%M:%S.%f")[:-3],
        moment=lambda then: moment(at(then, zone)),
        daytime=lambda then: daytime(at(then, zone)),
        stamp=lambda then: at(then, zone).strftime("%-d %b %Y %H:%M:%S"),
        dayclock=lambda then: at(then, zone).strftime("%-d %b %H:%M:%S"),
        iso=lambda then: at(then, zone).isoformat(),
        day=day,
        sign=mark,
        tag=lambda state: mark(state, tag=True),
        capitalize_first=lambda text: text[:1].upper() + text[1:],
        lower_first=lambda text: text[:1].lower() + text[1:],
        mask=lambda what: masked(str(what)),
    )
    environment.globals.update(icon=icon, masked=masked, pieces=pieces, spark=spark, bar=bar, bars=bars, zone=zone.key)
    return environment


def money(cents: int) -> Markup:
    """Cents as people read them; zero in soft ink."""
    text = shown(from_cents(cents))
    return Markup('<span class="nil">{}</span>').format(text) if cents == 0 else escape(text)


def amount(value: Decimal) -> Markup:
    """An amount as people read it; zero in soft ink."""
    text = shown(value)
    return Markup('<span class="nil">{}</span>').format(text) if value == 0 else escape(text)


def signed(cents: int) -> str:
    """A change: always with its sign, and nothing when there is none."""
    if cents == 0:
        return ""
    return ("+" if cents > 0 else MINUS) + shown(from_cents(abs(cents)))


def quantity(thousandths: int) -> str:
    """A quantity without needless zeros."""
    return f"{Decimal(thousandths).scaleb(-3).normalize():f}"


def megabytes(size: int) -> str:
    """``0.8 MB``, ``71.4 GB``."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def thousands(number: int) -> Markup:
    """A count; zero in soft ink."""
    return Markup('<span class="nil">0</span>') if number == 0 else escape(f"{number:,}".replace("-", MINUS))


def age(milliseconds: int) -> str:
    """A span of time in its two largest units, ``2 h 12 min``."""
    seconds = max(0, milliseconds) // 1000
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min"
    if seconds < _DAY:
        return f"{seconds // _HOUR} h {seconds % _HOUR // _MINUTE:02d} min"
    days = seconds // _DAY
    return f"{days} day" if days == 1 else f"{days} days"


def took(milliseconds: int) -> str:
    """How long something took, in the unit that reads best."""
    return (
        f"{milliseconds} ms"
        if milliseconds < 1000
        else f"{milliseconds / 1000:,.1f} s"
        if milliseconds < 60_000
        else age(milliseconds)
    )


def moment(instant: datetime) -> str:
    """An instant in full, with its zone."""
    return instant.strftime("%a %-d %b %Y %H:%M:%S %Z")


def daytime(instant: datetime) -> str:
    """An instant to the minute; with its year when that is not this one."""
    this_year = datetime.now(instant.tzinfo).year
    return instant.strftime("%-d %b %H:%M" if instant.year == this_year else "%-d %b %Y %H:%M")


def day(text: str) -> str:
    """An ISO day as ``2 Nov 2026``; other text as it is."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").strftime("%-d %b %Y")  # noqa: DTZ007  a day has no zone
    except ValueError:
        return text


def icon(name: str, tone: str = "") -> Markup:
    """A symbol of the sprite, for sight only."""
    return Markup('<svg class="ic {}" aria-hidden="true"><use href="/static/icons.svg#{}"/></svg>').format(tone, name)


def mark(state: str | Sign, tag: bool = False) -> Markup:
    """A state as shape, word and colour together."""
    look = state if isinstance(state, Sign) else sign(state)
    return Markup('<span class="st {}{}">{}{}</span>').format(
        look.tone, " tag" if tag else "", icon(look.shape), look.word
    )


def masked(what: str) -> Markup:
    """Dots of a fixed length; a screen reader hears what is behind them."""
    return Markup(
        '<span class="mask"><span class="vh">{}, masked</span><span aria-hidden="true">{}</span></span>'
    ).format(what, DOTS)


def pieces(parts: tuple[Piece, ...], revealed: bool) -> Markup:
    """Stretches of text, patient data masked, or tinted when it is revealed."""
    out = Markup()
    for piece in parts:
        if not piece.what:
            out += escape(piece.text)
        elif revealed:
            out += Markup('<span class="seen">{}</span>').format(piece.text)
        else:
            out += masked(piece.what)
    return out


def spark(values: tuple[int, ...], label: str, tone: str = "") -> Markup:
    """A line over the last 60 minutes, with its numbers as a sentence.

    Five-minute means keep single messages from looking like noise.
    """
    width, height, top = 108.0, 24.0, 3.0
    smooth = [sum(values[max(0, i - 4) : i + 1]) / len(values[max(0, i - 4) : i + 1]) for i in range(len(values))]
    highest = max(smooth, default=0) or 1
    step = width / max(1, len(smooth) - 1)
    points = " ".join(
        f"{i * step:.1f},{height - (height - top) * value / highest:.1f}" for i, value in enumerate(smooth)
    )
    return Markup(
        '<svg class="spark {}" viewBox="0 0 108 26" role="img" aria-label="{}">'
        '<path class="z" d="M0 24.5h108"/><polyline class="l" points="{}"/></svg>'
    ).format(tone, label, points)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart: its label, its value, and a second value for the table beside it."""

    label: str
    value: int
    other: int = 0


def bars(values: Sequence[Bar], label: str, usual: float = 0.0) -> Markup:
    """Bars over time with an axis, and a dashed line at what is *usual*; *label* says it in a sentence."""
    width, height, left, top = 960.0, 150.0, 34.0, 8.0
    highest = _round_up(max([bar.value for bar in values], default=0), usual)
    step = (width - left) / max(1, len(values))
    parts = [
        Markup('<svg class="bars" viewBox="0 0 960 172" role="img" aria-label="{}">').format(label),
    ]
    for part in range(5) if highest >= 4 else (0, 4):
        y = top + height - height * part / 4
        parts.append(
            Markup('<path class="g" d="M{} {:.1f}H960"/><text class="y" x="{}" y="{:.1f}">{}</text>').format(
                left, y, left - 6, y + 4, round(highest * part / 4)
            )
        )
    for number, bar in enumerate(values):
        x, tall = left + number * step, height * bar.value / highest
        if bar.value:
            parts.append(
                Markup('<rect class="f" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                    x + step * 0.12, top + height - tall, step * 0.76, tall
                )
            )
        if bar.label.endswith(":00") and int(bar.label[:2]) % 3 == 0:
            parts.append(Markup('<text class="x" x="{:.1f}" y="170">{}</text>').format(x, bar.label))
    if usual:
        y = top + height - height * usual / highest
        parts.append(Markup('<path class="u" d="M{} {:.1f}H960"/>').format(left, y))
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def _round_up(highest: int, usual: float) -> int:
    """A round number for the top of an axis, divisible by four where that matters."""
    least = max(highest, usual, 1)
    for factor in (
        1,
        2,
        4,
        8,
        12,
        20,
        40,
        60,
        80,
        100,
        120,
        160,
        200,
        240,
        320,
        400,
        600,
        800,
        1000,
        2000,
        4000,
        10_000,
        40_000,
    ):
        if factor >= least:
            return factor
    return int(-(-least // 40_000) * 40_000)


def bar(value: int, highest: int, label: str, tone: str = "") -> Markup:
    """A bar as long as *value* is of *highest*, with *label* for those who do not see it."""
    length = f"{max(0.0, 100 * value / highest):.1f}" if highest else "0"
    return Markup(
        '<svg class="meter" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<rect x="0" y="9" width="100" height="1"/><rect class="{}" x="0" y="1" width="{}" height="8"/></svg>'
    ).format(label, "x" if tone else "f", length)
