"""The README's walk by hand, run as it stands there: every line of it, in order, with the ports of this test."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def test_cli_readme_walk_works_line_by_line(stage: Any) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    walk = text.split("## By hand")[1].split("\n## ")[0]
    for port, name in (("7447", "north"), ("7448", "south")):
        walk = walk.replace(f"127.0.0.1:{port}", stage.url(name).removeprefix("ws://"))
    (stage.folder / "agent").symlink_to(ROOT / "agent")
    stage.env["PATH"] = f"{Path(sys.executable).parent}:{stage.env['PATH']}"
    ran = []
    for number, block in enumerate(re.findall(r"^```sh\n(.*?)^```$", walk, re.MULTILINE | re.DOTALL)):
        env = dict(stage.env)
        for line in block.splitlines():
            if line.startswith("export INTENTCAST_HOME=$PWD/"):
                env["INTENTCAST_HOME"] = str(stage.folder / line.rpartition("/")[2])
            elif " serve" in line:
                announce = " --announce -" if line.startswith("intentcast-relay") else " --announce"
                command = ["bash", "-c", f"cd {stage.folder} && exec {line}{announce}"]
                stage.launch(f"terminal-{number}", command, env)
            else:
                done = subprocess.run(
                    ["bash", "-c", line], cwd=stage.folder, env=env, capture_output=True, text=True, timeout=90,
                    stdin=subprocess.DEVNULL, check=False,
                )  # fmt: skip
                assert done.returncode == 0, f"{line}: {done}"
                ran.append((line, done.stdout))
    assert len(ran) >= 15
    said = dict(ran)
    assert "agreed" in said["intentcast deal accept o1 --yes"]
    assert "both signatures hold" in said["intentcast agreement verify a1.agreement"]
    assert "not witnessed" in said["intentcast agreement verify a1.agreement"]
