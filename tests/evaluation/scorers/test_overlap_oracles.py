"""rouge_l and bleu against the field's libraries, token_f1 against SQuAD's published evaluation."""

import collections
import re
import string
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scorer_cases import build, score

SENTENCES = [
    ("the cat sat on the mat", "the cat is on the mat"),
    ("Your card arrives on Monday.", "Your new card will arrive on Monday"),
    ("completely different words here", "nothing shared at all between"),
    ("one", "one"),
    ("", "something"),
    ("你好 世界", "你好 世界"),
]


@pytest.mark.parametrize(("answer", "expected"), SENTENCES)
def test_rouge_l_is_rouge_score_s(answer, expected):
    from rouge_score.rouge_scorer import RougeScorer

    for stemmer in (False, True):
        theirs = RougeScorer(["rougeL"], use_stemmer=stemmer).score(expected, answer)["rougeL"].fmeasure
        assert score("rouge_l", answer, expected, stemmer=stemmer).value == theirs


@pytest.mark.parametrize(("answer", "expected"), SENTENCES)
def test_bleu_is_sacrebleu_s(answer, expected):
    import sacrebleu

    theirs = sacrebleu.sentence_bleu(answer, [expected], use_effective_order=True).score
    assert score("bleu", answer, expected).value == pytest.approx(min(theirs, 100) / 100, abs=1e-12)


def test_rouge_and_bleu_take_the_best_of_several_expected_answers():
    answers = ["nothing like it", "the cat sat on the mat"]
    assert score("rouge_l", "the cat sat on the mat", answers).value == 1
    assert score("bleu", "the cat sat on the mat", answers).value == pytest.approx(1)


def squad_f1(prediction: str, ground_truth: str) -> float:
    """As in SQuAD 1.1's evaluate-v1.1.py: compute on normalised tokens."""

    def normalise(text: str) -> list[str]:
        lowered = "".join(character for character in text.lower() if character not in set(string.punctuation))
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", lowered).split()).split()

    predicted, truth = normalise(prediction), normalise(ground_truth)
    same = sum((collections.Counter(predicted) & collections.Counter(truth)).values())
    if same == 0:
        return float(predicted == truth == [])
    precision, recall = same / len(predicted), same / len(truth)
    return 2 * precision * recall / (precision + recall)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(alphabet="ab the.,\u00e9", max_size=20), st.text(alphabet="ab the.,\u00e9", max_size=20))
def test_token_f1_is_squad_s(answer, expected):
    assert score("token_f1", answer, expected).value == pytest.approx(squad_f1(answer, expected), abs=1e-12)


@pytest.mark.parametrize(("name", "package"), [("rouge_l", "rouge_score"), ("bleu", "sacrebleu")])
def test_a_missing_package_is_named_with_what_to_install(name, package):
    program = f"""
import sys
sys.modules[{package!r}] = None
sys.path.insert(0, {str(__file__.rpartition("/")[0])!r})
from scorer_cases import build
from proveout.evaluation.scorers import ScorerError
try:
    build({name!r})
except ScorerError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "is not installed. Run `pip install 'proveout[scorers]'`" in ran.stdout


def test_chinese_is_split_as_sacrebleu_does():
    assert build("bleu", tokenize="zh").score is not None
    assert score("bleu", "你好世界今天", "你好世界今天", tokenize="zh").value == pytest.approx(1)
