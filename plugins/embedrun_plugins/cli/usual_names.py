"""What other tools call the keys of recipes."""

from __future__ import annotations

from collections.abc import Iterator

_NAMES = """
source: dataset datasets test_datasets data train_data train_dataset train_file dataset_name dataset_path data_path
source: training_data
source.path: data_files
source.holdout: val_set_size test_size
filters: dataset_exact_deduplication
generator: question_generator
negatives: hard_negatives hard_negative_mining mine_hard_negatives miner
loss: losses loss_function loss_fn train_loss use_mrl
trainer.sub_batch_size loss.mini_batch_size: sub_batch_size
loss.gather_across_devices: negatives_cross_device
loss.temperature: temperature
loss.dims: matryoshka_dims mrl_dims
evaluator: evaluators evaluation eval_dataset evaluator_name val_data
trainer: training training_args training_arguments args train
model: model_name model_name_or_path base_model model_id pretrained_model embedding_model encoder
model.revision: model_revision revision_of_model
model.max_length: max_seq_length max_seq_len sequence_len max_len
trainer.query_max_length model.max_length: query_max_len
trainer.passage_max_length model.max_length: passage_max_len
model.pooling: pooling_mode sentence_pooling_method pooling_method
model.normalize: normalize_embeddings normlized normalized
model.dimensions: truncate_dim
model.dtype: torch_dtype
model.attention: attn_implementation flash_attention use_flash_attention sdp_attention eager_attention
model.prompts: query_prompt passage_prompt instruction
model.prompts.query: query_instruction_for_retrieval query_instruction
model.prompts.document: passage_instruction_for_retrieval passage_instruction
model.trust_remote_code: remote_code
seed: random_seed random_state data_seed
name: output_dir experiment_name
deployer: push_to_hub hub_model_id hub_private_repo deploy
trainer.epochs: num_train_epochs num_epochs epoch n_epochs
trainer.max_steps: num_train_steps total_steps
trainer.batch_size: per_device_train_batch_size train_batch_size micro_batch_size per_gpu_train_batch_size
trainer.learning_rate: lr peak_lr
trainer.warmup_steps: warmup_ratio num_warmup_steps warmup
trainer.lr_scheduler_type: lr_scheduler scheduler
trainer.lr_scheduler_kwargs: lr_scheduler_args
trainer.gradient_accumulation_steps: grad_accumulation_steps gradient_accumulation accumulation_steps
trainer.weight_decay: wd l2
trainer.optim: optimizer
trainer.max_grad_norm: gradient_clipping grad_clip max_gradient_norm clip_grad_norm
trainer.bf16: use_bf16 bfloat16
trainer.fp16: use_amp amp mixed_precision float16
trainer.gradient_checkpointing: activation_checkpointing grad_checkpointing
trainer.gradient_checkpointing_kwargs: activation_checkpointing_kwargs
trainer.torch_compile: compile
trainer.lora: peft peft_config lora_config use_lora adapter qlora
trainer.lora.r: lora_r lora_rank
trainer.lora.alpha: lora_alpha
trainer.lora.dropout: lora_dropout
trainer.lora.target_modules: lora_target_modules
trainer.lora.use_dora: peft_use_dora
trainer.lora.use_rslora: peft_use_rslora
trainer.eval_strategy: evaluation_strategy
trainer.eval_steps: evaluation_steps eval_every evals_per_epoch
trainer.save_steps: checkpoint_save_steps save_every saves_per_epoch
trainer.save_total_limit: checkpoint_save_total_limit
trainer.logging_steps: log_every log_steps
trainer.report_to: wandb wandb_project use_wandb use_tensorboard
trainer.load_best_model_at_end: save_best_model
trainer.early_stopping_patience: patience early_stopping
trainer.dataloader_num_workers: num_workers
trainer.processes: nproc_per_node num_gpus num_processes
trainer.negatives_per_query: num_negatives negatives_per_row num_hard_negatives
trainer.batch_sampler: sampler no_duplicates
evaluator.batch_size: per_device_eval_batch_size eval_batch_size
evaluator.similarity: similarity_fn_name
negatives.guard: cross_encoder
negatives.sampling: sampling_strategy
negatives.max_score: max_score
negatives.absolute_margin: absolute_margin
negatives.relative_margin: relative_margin
"""
"""A key, and the names that transformers, sentence-transformers, FlagEmbedding, axolotl and their users have for it.

Of several keys the first one is meant that the recipe's stages have.
"""


def table() -> dict[str, str]:
    """Return the key, from the recipe's root, by each usual name; several with spaces between."""
    return dict(_pairs())


def _pairs() -> Iterator[tuple[str, str]]:
    for line in _NAMES.strip().splitlines():
        key, _, names = line.partition(": ")
        yield from ((name, key) for name in names.split())
