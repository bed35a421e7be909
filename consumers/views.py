"""A turn's levers as the systems of a game see them: typed, named and documented.

One view per system; every lever of the shipped catalog is in exactly one. Numbers that scale
something are ratios: 1 leaves it as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, Literal, TypeVar, overload

from ledger.resolve import Resolution

Json = Any
T = TypeVar("T")

GateMode = Literal["off", "readonly", "full"]
ConsentStrictness = Literal["strict", "moderate", "lenient"]


class MissingLever(LookupError):
    """The lever catalog in force does not have this lever."""


class Value(Generic[T]):
    """A read-only property that reads one lever; its doc tells meaning and unit."""

    def __init__(self, lever: str, doc: str) -> None:
        self.lever = lever
        self.__doc__ = doc

    @overload
    def __get__(self, view: None, owner: type) -> Value[T]: ...

    @overload
    def __get__(self, view: View, owner: type) -> T: ...

    def __get__(self, view: View | None, owner: type) -> Value[T] | T:
        if view is None:
            return self
        value: T = view.value(self.lever)
        return value

    def __set__(self, view: View, value: T) -> None:
        raise AttributeError(f"{self.lever} is changed in the ledger, not here")


class View:
    """What one system of a game reads in a turn."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Json]) -> None:
        self._values = values

    def __repr__(self) -> str:
        read = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.properties())
        return f"{type(self).__name__}({read})"

    @classmethod
    def properties(cls) -> dict[str, str]:
        """List the properties of the view, each with the lever that it reads."""
        return {name: value.lever for name, value in vars(cls).items() if isinstance(value, Value)}

    def value(self, lever: str) -> Json:
        """Read a lever by its name; raises MissingLever."""
        try:
            return self._values[lever]
        except KeyError:
            raise MissingLever(f"the catalog in force has no lever {lever}") from None


class TokenBudget(View):
    """What the bundle assembler may spend on a turn."""

    __slots__ = ()

    max_input_tokens = Value[int](
        "AWF_MAX_INPUT_TOKENS",
        "Most tokens the bundle assembler may put into one model call (tokens).",
    )
    max_output_tokens = Value[int](
        "AWF_MAX_OUTPUT_TOKENS", "Most tokens one model call may generate (tokens)."
    )
    input_token_multiplier = Value[float](
        "AWF_INPUT_TOKEN_MULTIPLIER", "Scales the input token budget (ratio)."
    )
    output_token_multiplier = Value[float](
        "AWF_OUTPUT_TOKEN_MULTIPLIER", "Scales the output token budget (ratio)."
    )
    tool_call_quota = Value[int](
        "AWF_TOOL_CALL_QUOTA", "Tool calls allowed in one turn (calls per turn)."
    )
    mod_micro_slice_cap = Value[int](
        "AWF_MOD_MICRO_SLICE_CAP", "Most tokens one mod may add to a bundle (tokens)."
    )
    model_tier_allowlist = Value[list[str]](
        "AWF_MODEL_TIER_ALLOWLIST", "Model tiers a turn may use."
    )


class Pacing(View):
    """How fast and how hard play is: quests, hints, skill checks, resources."""

    __slots__ = ()

    quest_pacing_tempo_multiplier = Value[float](
        "QUEST_PACING_TEMPO_MULTIPLIER", "Scales how fast quests advance (ratio)."
    )
    quest_objective_hint_frequency = Value[float](
        "QUEST_OBJECTIVE_HINT_FREQUENCY",
        "Chance that a turn shows an objective hint (probability).",
    )
    soft_lock_hint_frequency = Value[float](
        "SOFT_LOCK_HINT_FREQUENCY", "Chance of a hint once a player looks stuck (probability)."
    )
    soft_lock_max_turns_without_progress = Value[int](
        "SOFT_LOCK_MAX_TURNS_WITHOUT_PROGRESS",
        "Turns without progress before a session counts as soft-locked (turns).",
    )
    skill_check_difficulty_bias = Value[float](
        "SKILL_CHECK_DIFFICULTY_BIAS", "Added to the difficulty of every skill check (bias)."
    )
    skill_check_success_rate_multiplier = Value[float](
        "SKILL_CHECK_SUCCESS_RATE_MULTIPLIER", "Scales the success rate of skill checks (ratio)."
    )
    resource_regen_multiplier = Value[float](
        "RESOURCE_REGEN_MULTIPLIER", "Scales resource regeneration (ratio)."
    )
    resource_decay_multiplier = Value[float](
        "RESOURCE_DECAY_MULTIPLIER", "Scales resource decay (ratio)."
    )
    turn_pacing_multiplier = Value[float](
        "TURN_PACING_MULTIPLIER", "Scales the time between turns (ratio)."
    )
    turn_timeout_multiplier = Value[float](
        "TURN_TIMEOUT_MULTIPLIER", "Scales the turn time-out (ratio)."
    )


class Economy(View):
    """Drop rates, vendors, crafting and currency."""

    __slots__ = ()

    drop_rate_common_multiplier = Value[float](
        "DROP_RATE_COMMON_MULTIPLIER", "Scales the drop rate of common items (ratio)."
    )
    drop_rate_uncommon_multiplier = Value[float](
        "DROP_RATE_UNCOMMON_MULTIPLIER", "Scales the drop rate of uncommon items (ratio)."
    )
    drop_rate_rare_multiplier = Value[float](
        "DROP_RATE_RARE_MULTIPLIER", "Scales the drop rate of rare items (ratio)."
    )
    drop_rate_epic_multiplier = Value[float](
        "DROP_RATE_EPIC_MULTIPLIER", "Scales the drop rate of epic items (ratio)."
    )
    drop_rate_legendary_multiplier = Value[float](
        "DROP_RATE_LEGENDARY_MULTIPLIER", "Scales the drop rate of legendary items (ratio)."
    )
    vendor_margin_min = Value[float](
        "VENDOR_MARGIN_MIN", "Lowest vendor margin; at most VENDOR_MARGIN_MAX (fraction)."
    )
    vendor_margin_max = Value[float](
        "VENDOR_MARGIN_MAX", "Highest vendor margin; at least VENDOR_MARGIN_MIN (fraction)."
    )
    vendor_stock_refresh_multiplier = Value[float](
        "VENDOR_STOCK_REFRESH_MULTIPLIER", "Scales how often vendors restock (ratio)."
    )
    crafting_quality_bias = Value[float](
        "CRAFTING_QUALITY_BIAS", "Added to the quality of crafted items (bias)."
    )
    crafting_success_rate_multiplier = Value[float](
        "CRAFTING_SUCCESS_RATE_MULTIPLIER", "Scales the success rate of crafting (ratio)."
    )
    currency_sink_daily_cap = Value[int](
        "CURRENCY_SINK_DAILY_CAP", "Most currency removed from one player in a day (coins per day)."
    )
    currency_source_daily_cap = Value[int](
        "CURRENCY_SOURCE_DAILY_CAP", "Most currency granted to one player in a day (coins per day)."
    )
    economic_activity_multiplier = Value[float](
        "ECONOMIC_ACTIVITY_MULTIPLIER", "Scales the rate of economic activity (ratio)."
    )
    trade_frequency_multiplier = Value[float](
        "TRADE_FREQUENCY_MULTIPLIER", "Scales how often trades happen (ratio)."
    )


class WorldSim(View):
    """World events, weather, regions and how long the world remembers."""

    __slots__ = ()

    world_event_rate_multiplier = Value[float](
        "WORLD_EVENT_RATE_MULTIPLIER", "Scales how often world events fire (ratio)."
    )
    world_event_severity_multiplier = Value[float](
        "WORLD_EVENT_SEVERITY_MULTIPLIER", "Scales how severe world events are (ratio)."
    )
    weather_volatility_multiplier = Value[float](
        "WEATHER_VOLATILITY_MULTIPLIER", "Scales how fast the weather changes (ratio)."
    )
    weather_front_frequency_multiplier = Value[float](
        "WEATHER_FRONT_FREQUENCY_MULTIPLIER", "Scales how often weather fronts form (ratio)."
    )
    region_drift_step_cap = Value[int](
        "REGION_DRIFT_STEP_CAP",
        "Most drift steps a region may take in one simulation tick (steps).",
    )
    region_drift_frequency_multiplier = Value[float](
        "REGION_DRIFT_FREQUENCY_MULTIPLIER", "Scales how often regions drift (ratio)."
    )
    world_state_persistence_multiplier = Value[float](
        "WORLD_STATE_PERSISTENCE_MULTIPLIER", "Scales how long world state persists (ratio)."
    )
    world_state_decay_multiplier = Value[float](
        "WORLD_STATE_DECAY_MULTIPLIER", "Scales how fast world state decays (ratio)."
    )


class Dialogue(View):
    """Candidates, cooldowns and romance."""

    __slots__ = ()

    dialogue_candidate_cap = Value[int](
        "DIALOGUE_CANDIDATE_CAP", "Most dialogue candidates scored in one turn (candidates)."
    )
    dialogue_candidate_score_threshold = Value[float](
        "DIALOGUE_CANDIDATE_SCORE_THRESHOLD",
        "Lowest score at which a dialogue candidate is kept (score).",
    )
    dialogue_cooldown_multiplier = Value[float](
        "DIALOGUE_COOLDOWN_MULTIPLIER", "Scales dialogue cooldowns (ratio)."
    )
    romance_cooldown_turns = Value[int](
        "ROMANCE_COOLDOWN_TURNS", "Turns between romance advances (turns)."
    )
    romance_progression_multiplier = Value[float](
        "ROMANCE_PROGRESSION_MULTIPLIER", "Scales how fast romances progress (ratio)."
    )
    romance_consent_strictness = Value[ConsentStrictness](
        "ROMANCE_CONSENT_STRICTNESS", "How strictly romance asks for consent."
    )
    dialogue_engagement_multiplier = Value[float](
        "DIALOGUE_ENGAGEMENT_MULTIPLIER", "Scales how engaging dialogue aims to be (ratio)."
    )
    dialogue_depth_multiplier = Value[float](
        "DIALOGUE_DEPTH_MULTIPLIER", "Scales how deep dialogue trees go (ratio)."
    )


class Party(View):
    """Who is in the party and how its members behave."""

    __slots__ = ()

    party_max_active_members = Value[int](
        "PARTY_MAX_ACTIVE_MEMBERS", "Most party members active at once (members)."
    )
    party_delegate_check_rate = Value[float](
        "PARTY_DELEGATE_CHECK_RATE",
        "Chance that a party member takes over a check (probability).",
    )
    party_intent_mix_bias = Value[dict[str, float]](
        "PARTY_INTENT_MIX_BIAS", "Mix of party intents (fractions by intent)."
    )
    party_cohesion_multiplier = Value[float](
        "PARTY_COHESION_MULTIPLIER", "Scales party cohesion (ratio)."
    )
    party_conflict_multiplier = Value[float](
        "PARTY_CONFLICT_MULTIPLIER", "Scales party conflict (ratio)."
    )
    party_member_satisfaction_multiplier = Value[float](
        "PARTY_MEMBER_SATISFACTION_MULTIPLIER", "Scales member satisfaction (ratio)."
    )
    party_member_loyalty_multiplier = Value[float](
        "PARTY_MEMBER_LOYALTY_MULTIPLIER", "Scales member loyalty (ratio)."
    )


class Gate:
    """How far one module of the game is switched on."""

    __slots__ = ("mode",)

    def __init__(self, mode: GateMode) -> None:
        self.mode = mode

    def __repr__(self) -> str:
        return f"Gate({self.mode!r})"

    @property
    def is_enabled(self) -> bool:
        """Whether the module does anything at all: read-only counts."""
        return self.mode != "off"

    @property
    def is_readonly(self) -> bool:
        """Whether the module may show what there is and must not change anything."""
        return self.mode == "readonly"


class GateValue(Value[Gate]):
    """A property that reads the gate of one module."""

    def __init__(self, lever: str, module: str) -> None:
        super().__init__(lever, f"Whether {module} is off, read-only or fully on.")


class Gates(View):
    """Which modules are off, read-only or fully on."""

    __slots__ = ()

    dialogue = GateValue("DIALOGUE_GATE", "dialogue")
    worldsim = GateValue("WORLDSIM_GATE", "the world simulation")
    party = GateValue("PARTY_GATE", "the party")
    mods = GateValue("MODS_GATE", "mods")
    tools = GateValue("TOOLS_GATE", "tools")
    economy_kernel = GateValue("ECONOMY_KERNEL_GATE", "the economy kernel")

    def value(self, lever: str) -> Gate:
        """Read a gate by its lever's name; raises MissingLever."""
        return Gate(super().value(lever))


class GameSystems:
    """All views of one answer; `resolution` is that answer."""

    __slots__ = (
        "dialogue",
        "economy",
        "gates",
        "pacing",
        "party",
        "resolution",
        "tokens",
        "world",
    )

    def __init__(self, resolution: Resolution) -> None:
        values = resolution.values
        self.resolution = resolution
        self.tokens = TokenBudget(values)
        self.pacing = Pacing(values)
        self.economy = Economy(values)
        self.world = WorldSim(values)
        self.dialogue = Dialogue(values)
        self.party = Party(values)
        self.gates = Gates(values)


VIEWS: tuple[type[View], ...] = (TokenBudget, Pacing, Economy, WorldSim, Dialogue, Party, Gates)
"""All views: together they read every lever of the shipped catalog."""
