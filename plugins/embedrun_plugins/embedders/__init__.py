"""Models to compare with, wherever they run."""

from embedrun_plugins.embedders.bedrock import Bedrock
from embedrun_plugins.embedders.openai import OpenAI
from embedrun_plugins.embedders.sentence_transformers import SentenceTransformers
from embedrun_plugins.embedders.tei import Tei

EMBEDDERS = (Bedrock, OpenAI, Tei, SentenceTransformers)
