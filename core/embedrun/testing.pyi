from embedrun_plugins.stages.stage_check import check_stage as check_stage
from embedrun_plugins.stages.stage_check import small_set as small_set
from embedrun_plugins.stages.stage_check import tiny_model as tiny_model
