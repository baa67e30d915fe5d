"""Models to compare with, wherever they run."""

from embedrun_plugins.stages.embedders.bedrock import Bedrock
from embedrun_plugins.stages.embedders.openai import OpenAI
from embedrun_plugins.stages.embedders.sentence_transformers import SentenceTransformers
from embedrun_plugins.stages.embedders.tei import Tei

EMBEDDERS = (Bedrock, OpenAI, Tei, SentenceTransformers)
