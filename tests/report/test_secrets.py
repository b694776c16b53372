"""Every form of a secret in the arguments of a process is removed, and other text stays readable."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.report.secrets import without_secrets

SECRET = "Tr0ub4dor&3"
FORMS = (
    ["--password={}"],
    ["--password", "{}"],
    ["-password", "{}"],
    ["--password=", "{}"],
    ["--hf_token", "{}"],
    ["--wandb.api-key", "{}"],
    ["--apikey={}"],
    ["WANDB_API_KEY={}"],
    ["env", "AWS_SECRET_ACCESS_KEY={}"],
    ["-e", "MYSQL_PWD={}"],
    ["https://jdoe:{}@example.org/model"],
    ["--store=postgres://jdoe:{}@db/runs"],
    ["-H", "Authorization: Bearer {}"],
    ["Authorization:", "{}"],
    ["--config", '{{"name": "a", "token": "{}"}}'],
    ["-u", "jdoe:{}"],
    ["--user=jdoe:{}"],
    ["-ujdoe:{}"],
    ["-p", "{}"],
    ["-p{}"],
    ["-a", "{}"],
    ["sshpass", "-p", "{}"],
    ["--jwt", "{}"],
    ["--creds", "{}"],
    ["--session", "{}"],
    ["--mnemonic", "{}"],
    ["https://example.org/f?code={}"],
    ["https://example.org/f?sas={}"],
    ["-b", "session={}"],
    ["https://hooks.slack.com/services/T0/B0/{}"],
    ["sh", "-c", "python train.py --auth-token {} --lr 3"],
    ["sh", "-c", "HF_TOKEN='{}' exec python train.py"],
)
TOKENS = (
    "sk-proj-AbC123xyz789", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "github_pat_11ABCDEFG0_abc",
    "xoxb-123456789012-abc", "AIzaSyA-1234567890abcdef", "hf_abcdefGHIJKL", "npm_abcdef123456",
    "AKIAIOSFODNN7EXAMPLE", "glpat-abcdef123456", "nvapi-abcdef_123456",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "0123456789abcdef0123456789abcdef01234567",
    "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY1",
)  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_every_known_form_is_removed(form):
    words = ["train.py", "--lr", "3e-4", *(part.format(SECRET) for part in form), "--epochs", "7"]
    redacted = without_secrets(shlex.join(words))
    assert SECRET not in redacted
    assert "***" in redacted
    assert redacted.startswith("train.py --lr 3e-4 ")
    assert redacted.endswith(" --epochs 7")


def test_text_beside_a_secret_stays():
    redacted = without_secrets("WANDB_API_KEY=abc https://u:pw@example.org/x --password=abc run -p 8080")
    assert redacted == "WANDB_API_KEY=*** https://***@example.org/x --password=*** run -p 8080"


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("form", ["{}", "--x={}", "https://example.org/{}/a", "a,{}"])
def test_tokens_are_recognised_by_their_shape(token, form):
    redacted = without_secrets(f"train.py {form.format(token)} end")
    assert token not in redacted
    assert redacted.startswith("train.py ")
    assert redacted.endswith(" end")


@given(
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6).filter(
        lambda s: not s.startswith("--")
    ),
    more=st.text(st.characters(min_codepoint=32, max_codepoint=126)),
    form=st.sampled_from([f for f in FORMS if (len(f) == 1 or f[-1] == "{}") and "slack" not in f[-1]]),
)
def test_a_secret_of_any_characters_is_removed(secret, more, form):
    """A secret of any characters, including blanks and quotes, is removed completely."""
    whole = f"Z9{secret} {more}Z9"
    if "@" in form[-1]:
        whole = whole.replace(" ", "").replace("\\", "")
    redacted = without_secrets(shlex.join(["a", *(part.format(whole) for part in form), "--b", "c"]))
    assert "Z9" not in redacted
    assert redacted.startswith("a ")
    assert redacted.endswith(" --b c")


@given(cut=st.integers(0, 120))
def test_a_secret_that_is_cut_off_is_removed(cut):
    text = shlex.join(["x", "--password", "pass word'Z9Z9", "-d", "https://jdoe:Q7Q7@h/", "--token=Y8Y8 Y8"])
    redacted = without_secrets(text[:cut])
    assert not any(part in redacted for part in ("Z9", "Q7", "Y8"))


@pytest.mark.parametrize(
    "arguments",
    [
        "train.py --lr 3e-4 --batch-size=32 --out /data/run-17",
        "--max-tokens 4096 --tokenizer llama --num_tokens=12",
        "-m torch.distributed.run --rdzv-endpoint node-1:29500",
        "--url http://localhost:8080/v1 --dataset s3://bucket/a_b.bin",
        "--layers 0,1,2 --dtype bf16 -u train.py",
        "--exit-code 3 -p 8080 -p8080 --code-path a -u run.py",
        "'a file' --name 'my run' -c 'import time; time.sleep(1)'",
        "",
    ],
)
def test_text_without_secrets_stays(arguments):
    assert without_secrets(arguments) == arguments
