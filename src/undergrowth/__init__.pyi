"""The public names, and where each is made; `import undergrowth` loads each when it is first used."""

import pathlib

from . import measures as measures
from .analysis import (
    Rules as Rules,
    across as across,
    against_matched as against_matched,
    beyond_leak as beyond_leak,
    coincidence as coincidence,
    effective_number as effective_number,
    events as events,
    gini as gini,
    hoyer as hoyer,
    matched_windows as matched_windows,
    number_holding as number_holding,
    resampled as resampled,
    separated as separated,
    skewness as skewness,
    spikes as spikes,
    who_flips as who_flips,
)
from .exports.exporting import (
    export as export,
)
from .exports.format import (
    ExportError as ExportError,
)
from .gating import (
    Sampling as Sampling,
    attribute as attribute,
    baselines as baselines,
    conductance as conductance,
    joint_ablation as joint_ablation,
    shapley_values as shapley_values,
    site_of as site_of,
)
from .imports import (
    ForeignFileError as ForeignFileError,
    Imported as Imported,
    import_run as import_run,
    import_runs as import_runs,
)
from .measures import (
    Alignment as Alignment,
    Areas as Areas,
    Carriers as Carriers,
    ClockPizza as ClockPizza,
    Coherence as Coherence,
    Collapse as Collapse,
    ComponentNorms as ComponentNorms,
    Confidence as Confidence,
    Curves as Curves,
    Deletion as Deletion,
    ExpectedReturn as ExpectedReturn,
    Fourier as Fourier,
    Generality as Generality,
    GroupAccuracy as GroupAccuracy,
    Kernel as Kernel,
    Ledger as Ledger,
    LocalLearningCoefficient as LocalLearningCoefficient,
    Norms as Norms,
    Predictions as Predictions,
    Reach as Reach,
    Representations as Representations,
    RoutedReach as RoutedReach,
    Saliency as Saliency,
    SampledFunctions as SampledFunctions,
    Shapley as Shapley,
    Sharpness as Sharpness,
    Swaps as Swaps,
    TableMap as TableMap,
    TrainedFunctions as TrainedFunctions,
    areas_of as areas_of,
)
from .models import (
    Ablated as Ablated,
    MLPSpec as MLPSpec,
    PlantedSpec as PlantedSpec,
    ToyHeadsSpec as ToyHeadsSpec,
    TransformerSpec as TransformerSpec,
    TwoTokenMLPSpec as TwoTokenMLPSpec,
    gated as gated,
    recording as recording,
)
from .own_parts import use as use
from .published.reading import (
    Published as Published,
    ResultsError as ResultsError,
    results as results,
)
from .published.writing import (
    publish as publish,
)
from .report.ablation import (
    deletion_by_k_figure as deletion_by_k_figure,
    deletion_over_steps_figure as deletion_over_steps_figure,
)
from .report.aligned import (
    aligned_figure as aligned_figure,
)
from .report.curves import (
    accuracy_figure as accuracy_figure,
    loss_figure as loss_figure,
)
from .report.fork_tree import (
    fork_figure as fork_figure,
)
from .report.mapped import (
    map as map,
)
from .report.own_runs import (
    own_report as own_report,
)
from .report.readings import (
    heat_map_figure as heat_map_figure,
    reading_figure as reading_figure,
)
from .report.saliency import (
    breadth_figure as breadth_figure,
    concentration_figure as concentration_figure,
    saliency_histogram as saliency_histogram,
)
from .report.spikes import (
    spikes_figure as spikes_figure,
)
from .schedules import (
    Schedule as Schedule,
    Window as Window,
)
from .spec import (
    Fork as Fork,
    Origin as Origin,
    OriginFile as OriginFile,
    RunSpec as RunSpec,
    Seeds as Seeds,
    SpecError as SpecError,
)
from .spec.file import (
    read_grid as read_grid,
    read_runs as read_runs,
)
from .spec.grid import (
    Grid as Grid,
    grid as grid,
)
from .spec.presets import (
    PRESETS as PRESETS,
    preset as preset,
)
from .store import (
    Run as Run,
    Store as Store,
    StoreError as StoreError,
    together as together,
    verify as verify,
)
from .store.comparing import (
    compare as compare,
)
from .store.merging import (
    merge as merge,
)
from .store.pruning import (
    prune as prune,
)
from .studies import (
    STUDIES as STUDIES,
)
from .studies.named import (
    study as study,
)
from .sweep import (
    Layout as Layout,
    Progress as Progress,
    SweepError as SweepError,
)
from .sweep.measuring import (
    measure as measure,
)
from .sweep.ray_engine import (
    OnRay as OnRay,
    train_on_ray as train_on_ray,
)
from .sweep.replaying import (
    replay as replay,
)
from .tasks import (
    BooleanFunction as BooleanFunction,
    Characters as Characters,
    CommutationSafe as CommutationSafe,
    Digits as Digits,
    Equal as Equal,
    FeatureTable as FeatureTable,
    Given as Given,
    GivenSplit as GivenSplit,
    Gridworld as Gridworld,
    Group as Group,
    LeakyRandom as LeakyRandom,
    Modular as Modular,
    MultitaskParity as MultitaskParity,
    OfGroups as OfGroups,
    OfNoisy as OfNoisy,
    PowerLaw as PowerLaw,
    Shuffled as Shuffled,
    SparseParity as SparseParity,
    Table as Table,
    WholeGroups as WholeGroups,
)
from .terminal import (
    train as train,
)
from .training.batches import (
    Blocked as Blocked,
    FullBatch as FullBatch,
    MiniBatch as MiniBatch,
    WithReplacement as WithReplacement,
)
from .training.interventions import (
    Ablate as Ablate,
    AfterFork as AfterFork,
    AfterIntervention as AfterIntervention,
    Anneal as Anneal,
    AtStep as AtStep,
    ByLabel as ByLabel,
    ClampNorm as ClampNorm,
    Components as Components,
    Freeze as Freeze,
    FreezeParameters as FreezeParameters,
    Intervention as Intervention,
    Kick as Kick,
    NoOp as NoOp,
    OnOnset as OnOnset,
    PartsOfGroups as PartsOfGroups,
    RandomComponents as RandomComponents,
    RandomWeights as RandomWeights,
    RescaleNorm as RescaleNorm,
    ResetMoments as ResetMoments,
    Route as Route,
    RouteGradient as RouteGradient,
    ScaleComponents as ScaleComponents,
    ScaleGradient as ScaleGradient,
    ScaleLearningRate as ScaleLearningRate,
    SetBatch as SetBatch,
    SetData as SetData,
    SetNoise as SetNoise,
    SetTemperature as SetTemperature,
    SetWeightDecay as SetWeightDecay,
    WhenCrosses as WhenCrosses,
)
from .training.noise import (
    Noise as Noise,
)
from .training.optimisers import (
    SGD as SGD,
    Adam as Adam,
    AdamW as AdamW,
    Constant as Constant,
    Cosine as Cosine,
    GrokfastEMA as GrokfastEMA,
    Muon as Muon,
    NoFilter as NoFilter,
    OrthogonalGradient as OrthogonalGradient,
    SignSGD as SignSGD,
)
from .training.stopping import Stop as Stop
from .version import __version__ as __version__

__all__: list[str]

def open(root: str | pathlib.Path) -> Store: ...
