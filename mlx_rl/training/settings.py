"""How a model is trained: everything that changes the result, declared once."""

from pydantic import BaseModel, ConfigDict, Field


class TrainSettings(BaseModel):
    """The training loop's settings, the same for every method."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int = Field(default=100, ge=1, description="passes over the training fold")
    batch_size: int = Field(default=256, ge=1, description="samples in one step")
    learning_rate: float = Field(default=1e-3, gt=0, description="AdamW step size at the top of the schedule")
    warmup_frac: float = Field(default=0.05, ge=0, lt=1, description="share of all steps in which the step size climbs")
    weight_decay: float = Field(
        default=0.01, ge=0, description="AdamW decay of weight matrices; biases and norms: none"
    )
    clip_norm: float = Field(default=1.0, gt=0, description="largest norm of a step's gradient")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="share of activations dropped in training")
    value_weight: float = Field(default=0.1, ge=0, description="weight of the value error in the loss")
    forecast_weight: float = Field(default=0.1, ge=0, description="weight of the forecast's cross-entropy in the loss")
    patience: int = Field(default=15, ge=0, description="epochs without a better validation loss to stop; 0: never")
    valid_samples: int = Field(default=50_000, ge=1, description="most validation samples read per epoch")
    money_every: int = Field(default=10, ge=1, description="epochs between two runs on the validation markets")
    checkpoint_s: float = Field(default=60.0, gt=0, description="seconds between checkpoints within an epoch")
    seed: int = Field(default=0, ge=0, description="first weights, order of samples, dropout and imagined entries")
