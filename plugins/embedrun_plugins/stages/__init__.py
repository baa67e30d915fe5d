"""The built-in stages by recipe key: each is imported when a recipe names it."""

from __future__ import annotations

from embedrun import StageReference

_CLASSES = {
    "source": {
        "sources.beir": {"beir": "Beir"},
        "sources.documents": {"documents": "Documents"},
        "sources.everyday": {"everyday": "Everyday"},
        "sources.hub": {"hub": "Hub"},
        "sources.llama_index": {"llama_index": "LlamaIndex"},
        "sources.nanobeir": {"nanobeir": "NanoBeir"},
        "sources.pairs": {"pairs": "Pairs"},
    },
    "generator": {
        "generators.bedrock": {"bedrock": "Bedrock"},
        "generators.crop": {"crop": "Crop"},
        "generators.inverse_cloze": {"inverse_cloze": "InverseCloze"},
        "generators.openai": {"openai": "OpenAI"},
        "generators.title": {"title": "Title"},
    },
    "filters": {
        "filters.duplicates": {"duplicates": "Duplicates"},
        "filters.judge": {"judge": "Judge"},
        "filters.leakage": {"leakage": "Leakage"},
        "filters.length": {"length": "Length"},
        "filters.round_trip": {"round_trip": "RoundTrip"},
        "filters.similar_queries": {"similar_queries": "SimilarQueries"},
    },
    "negatives": {"miners.bm25": {"bm25": "Bm25"}, "miners.dense": {"dense": "Dense"}},
    "loss": {
        "losses.matryoshka": {
            "adaptive_layer": "AdaptiveLayer",
            "matryoshka": "Matryoshka",
            "matryoshka_2d": "Matryoshka2d",
        },
        "losses.scored_pairs": {
            "angle": "Angle",
            "contrastive": "Contrastive",
            "cosent": "Cosent",
            "cosine_similarity": "CosineSimilarity",
            "online_contrastive": "OnlineContrastive",
            "softmax": "Softmax",
        },
        "losses.triplets": {
            "batch_all_triplet": "BatchAllTriplet",
            "batch_hard_soft_margin_triplet": "BatchHardSoftMarginTriplet",
            "batch_hard_triplet": "BatchHardTriplet",
            "batch_semi_hard_triplet": "BatchSemiHardTriplet",
            "triplet": "Triplet",
        },
        "losses.gist": {"cached_gist_embed": "CachedGistEmbed", "gist_embed": "GistEmbed"},
        "losses.cached": {
            "cached_multiple_negatives_ranking": "CachedMultipleNegativesRanking",
            "cached_multiple_negatives_symmetric_ranking": "CachedMultipleNegativesSymmetricRanking",
        },
        "losses.distillation": {"distill_kl_div": "DistillKlDiv", "margin_mse": "MarginMse"},
        "losses.orthogonal": {"global_orthogonal_regularization": "GlobalOrthogonalRegularization"},
        "losses.ranking": {
            "info_nce": "InfoNce",
            "mega_batch_margin": "MegaBatchMargin",
            "multiple_negatives_ranking": "MultipleNegativesRanking",
            "multiple_negatives_symmetric_ranking": "MultipleNegativesSymmetricRanking",
        },
    },
    "trainer": {
        "trainers.flag_embedding": {"flag_embedding": "FlagEmbedding"},
        "trainers.sentence_transformers": {"sentence_transformers": "SentenceTransformersTrainer"},
    },
    "merge": {"mergers.linear": {"linear": "Linear"}, "mergers.search": {"search": "Search"}},
    "evaluator": {
        "evaluators.general": {"general": "General"},
        "evaluators.hit_rate": {"hit_rate": "HitRate"},
        "evaluators.information_retrieval": {"information_retrieval": "InformationRetrieval"},
        "evaluators.similarity_pairs": {"similarity_pairs": "SimilarityPairs"},
    },
    "compare_with": {
        "embedders.bedrock": {"bedrock": "BedrockEmbedder"},
        "embedders.openai": {"openai": "OpenAIEmbedder"},
        "embedders.sentence_transformers": {"sentence_transformers": "SentenceTransformersEmbedder"},
        "embedders.tei": {"tei": "TeiEmbedder"},
    },
    "reranker": {"rerankers.cross_encoder": {"cross_encoder": "CrossEncoderReranker"}},
    "reranker.loss": {
        "reranker_losses.pairs": {
            "binary_cross_entropy": "BinaryCrossEntropy",
            "cached_multiple_negatives_ranking": "CachedAnswerRanking",
            "margin_mse": "MarginMeanSquaredError",
            "mse": "MeanSquaredError",
            "multiple_negatives_ranking": "AnswerRanking",
        },
        "reranker_losses.lists": {
            "adr_mse": "ApproximateRankMse",
            "lambda": "Lambda",
            "list_mle": "ListMle",
            "list_net": "ListNet",
            "p_list_mle": "PositionAwareListMle",
            "rank_net": "RankNet",
        },
    },
    "deployer": {
        "deployers.directory": {"directory": "Directory"},
        "deployers.hub": {"hub": "HubDeployer"},
        "deployers.local": {"local": "LocalServer"},
        "deployers.sagemaker": {"sagemaker": "SageMakerHuggingFace"},
        "deployers.sagemaker_tei": {"sagemaker_tei": "SageMakerTei"},
        "deployers.tei": {"tei": "TeiDeployer"},
    },
    "runtime": {
        "runtimes.docker": {"docker": "DockerRuntime"},
        "runtimes.local": {"local": "LocalRuntime"},
        "runtimes.sagemaker": {"sagemaker": "SageMakerRuntime"},
    },
}
"""Kind, module, type, class."""

STAGES = tuple(
    StageReference(kind, name, f"{__name__}.{module}:{cls}")
    for kind, modules in _CLASSES.items()
    for module, classes in modules.items()
    for name, cls in classes.items()
)
