"""The tool as a user meets it: outputs, files, messages and exit codes."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOL, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
MODEL = SOURCE / "models" / "nursery-llama"
SHARED = SOURCE.parent / "shared"


def run(*arguments, **options):
    return subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True,
                          errors="replace", timeout=500, **options)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def succeed(self, *arguments):
        done = run(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def fail_with(self, words, *arguments):
        done = run(*arguments)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        return done

    def need_shared(self):
        if not SHARED.is_dir():
            if os.environ.get("PIANOLA_REQUIRE_SHARED") == "1":
                self.fail("../shared is required in CI")
            self.skipTest("../shared is absent")

    def roll(self, *options):
        path = self.path / "model.roll"
        self.succeed("compile", MODEL, "--context", 128, "-o", path, *options)
        return path


class Compile(Case):
    def test_same_bytes_for_any_number_of_threads(self):
        rolls = []
        for threads in (1, 2, 7):
            rolls.append(self.roll("--threads", threads).read_bytes())
        self.assertEqual(rolls[0], rolls[1])
        self.assertEqual(rolls[0], rolls[2])

    def test_lists_all_unsupported_parts_and_writes_nothing(self):
        self.need_shared()
        output = self.path / "x.roll"
        done = self.fail_with(["DeepseekV3ForCausalLM"], "compile",
                              SHARED / "models" / "nursery-deepseek", "-o", output)
        self.assertGreater(done.stderr.count("\n"), 2)
        self.assertEqual(list(self.path.iterdir()), [])

    def test_says_what_does_not_fit(self):
        target = self.path / "small.toml"
        text = (SOURCE / "targets" / "sim16.toml").read_text()
        target.write_text(text.replace("words_per_slice = 8192", "words_per_slice = 256")
                          .replace('"sim16"', '"small"'))
        self.fail_with(["words", "small"], "compile", MODEL, "-t", target, "--context", 512, "-o",
                       self.path / "x.roll")
        self.assertFalse((self.path / "x.roll").exists())

    def test_refuses_what_is_no_model(self):
        self.fail_with(["missing"], "compile", self.path / "missing", "-o", self.path / "x.roll")
        bad = self.path / "bad.gguf"
        bad.write_bytes(b"GGUF" + bytes(100))
        self.fail_with(["bad.gguf"], "compile", bad, "-o", self.path / "x.roll")
        self.fail_with(["quantization", "w5"], "compile", MODEL, "-q", "w5", "-o",
                       self.path / "x.roll")

    def test_fails_where_it_cannot_write(self):
        self.fail_with(["nowhere"], "compile", MODEL, "-o", self.path / "nowhere" / "x.roll")


class Run(Case):
    def test_json_holds_what_is_promised(self):
        result = json.loads(self.succeed("run", MODEL, "-p", "Once upon a time", "-n", 8, "--json"))
        for key in ("prompt_ids", "ids", "text", "predicted_cycles", "cycles", "frozen_cycles",
                    "frozen_after_first", "executor", "target"):
            self.assertIn(key, result)
        self.assertEqual(result["executor"], "emulator")
        self.assertEqual(result["target"], "sim16")
        self.assertEqual(len(result["ids"]), 8)
        self.assertEqual(result["cycles"], result["predicted_cycles"])
        self.assertEqual(len(result["frozen_cycles"]), len(result["cycles"]))

    def test_model_and_roll_say_the_same(self):
        arguments = ("-p", "The", "-n", 12, "--json")
        from_roll = json.loads(self.succeed("run", self.roll(), *arguments))
        from_model = json.loads(self.succeed("run", MODEL, *arguments))
        self.assertEqual(from_roll["ids"], from_model["ids"])
        text = self.succeed("run", MODEL, "-p", "The", "-n", 12)
        self.assertIn(from_model["text"].strip(), text)

    def test_machine_chooses_the_same_tokens(self):
        arguments = (MODEL, "-p", "The", "-n", 12, "--json")
        chosen = json.loads(self.succeed("run", *arguments, "--send", "tokens"))
        self.assertEqual(chosen["ids"], json.loads(self.succeed("run", *arguments))["ids"])
        self.assertEqual(chosen["cycles"], chosen["predicted_cycles"])
        roll = self.roll("--send", "tokens")
        self.fail_with(["tokens alone", "--send logits"], "run", roll, "-p", "a", "--temperature", 1)
        ids = self.path / "few.ids"
        ids.write_text("1 2 3\n")
        self.fail_with(["a score needs logits"], "score", roll, "--ids-file", ids)
        self.fail_with(["--send"], "run", MODEL, "-p", "a", "--send", "words")

    def test_reference_gives_the_golden_tokens(self):
        golden = json.loads((MODEL / "golden.json").read_text())
        prompt = golden["prompts"][0]
        result = json.loads(self.succeed("run", MODEL, "-p", prompt["prompt"], "-n", 16,
                                         "--executor", "reference", "--json", "--ignore-eos"))
        expected = prompt["greedy_ids"]
        self.assertEqual(result["ids"], expected[:16])

    def test_sampling_depends_on_the_seed_alone(self):
        def sample(seed):
            return json.loads(self.succeed("run", MODEL, "-p", "Once", "-n", 16, "--temperature",
                                           0.9, "--top-k", 40, "--top-p", 0.95, "--seed", seed,
                                           "--json"))["ids"]
        self.assertEqual(sample(1), sample(1))
        self.assertNotEqual(sample(1), sample(2))

    def test_refuses_bad_options(self):
        self.fail_with(["executor", "emulator"], "run", MODEL, "-p", "a", "--executor", "magic")
        self.fail_with(["-n"], "run", MODEL, "-p", "a", "-n", 0)
        self.fail_with(["lockstep"], "run", MODEL, "-p", "a", "--lockstep")
        self.fail_with(["temperature"], "run", MODEL, "-p", "a", "--temperature", -1)
        self.fail_with(["roll"], "run", self.roll(), "-p", "a", "--executor", "reference")

    def test_ends_with_a_message_where_the_context_ends(self):
        self.fail_with(["context"], "run", self.roll(), "-p", "Once", "-n", 200, "--ignore-eos")


class Systemc(Case):
    """The SystemC platform, with the emulator as its core: no Verilated core has to be built."""

    PLATFORM = ("--executor", "systemc", "--systemc-core", "emulator")

    def setUp(self):
        super().setUp()
        self.model = self.roll()

    def play(self, *options):
        done = run("run", self.model, "-p", "Once upon a time", "-n", 4, "--json", *options)
        if "this build has no SystemC" in done.stderr:
            self.skipTest("the build has no SystemC")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_memory_changes_nothing_but_frozen_cycles(self):
        expected = self.play("--executor", "emulator")
        self.assertEqual(sum(expected["frozen_cycles"]), 0)

        def late(*options):
            result = self.play(*self.PLATFORM, *options)
            for key in ("prompt_ids", "ids", "text", "entries", "cycles"):
                self.assertEqual(result[key], expected[key], options)
            for all_frozen, after in zip(result["frozen_cycles"], result["frozen_after_first"]):
                self.assertLessEqual(after, all_frozen)
            return sum(result["frozen_cycles"]), sum(result["frozen_after_first"])

        ideal, after_first = late()
        self.assertEqual(after_first, 0)
        self.assertEqual(late("--memory", "ideal"), (ideal, 0))
        far, after_first = late("--memory-latency", 500)
        self.assertGreater(far, ideal)
        self.assertEqual(after_first, 0)
        for options in (("--jitter", 20), ("--jitter", "20:7"), ("--memory", "ddr4")):
            frozen, after_first = late(*options)
            self.assertGreater(frozen, ideal, options)
            self.assertGreater(after_first, 0, options)
        # Starved until edge 102,000, and needed before the last machine cycle of some launch.
        least = 102_000 - max(expected["cycles"])
        self.assertGreater(least, 0)
        for port in ("tape.recv", "kv.recv", "words", "kv.send", "host.send"):
            self.assertGreater(late("--starve", port)[1], least, port)
        late("--starve", "host.recv", "--memory", "ddr4", "--memory-latency", 30, "--jitter", 3)

    def test_jitter_depends_on_the_seed_alone(self):
        def frozen(jitter):
            return self.play(*self.PLATFORM, "--jitter", jitter)["frozen_cycles"]
        self.assertEqual(frozen("20"), frozen("20:1"))
        self.assertNotEqual(frozen("20:1"), frozen("20:2"))

    def test_summary_says_how_many_cycles_were_frozen(self):
        result = self.play(*self.PLATFORM, "--jitter", 20)
        done = run("run", self.model, "-p", "Once upon a time", "-n", 4, *self.PLATFORM,
                   "--jitter", 20)
        self.assertIn(f"{sum(result['frozen_cycles'])} frozen, {sum(result['frozen_after_first'])}",
                      done.stderr)

    def test_score_takes_the_same_options(self):
        ids = self.path / "ids.txt"
        ids.write_text("1022 510 511 258 407 11 411 283\n")
        arguments = ("score", self.model, "--ids-file", ids, "--json")
        expected = json.loads(self.succeed(*arguments))
        self.play(*self.PLATFORM)
        late = json.loads(self.succeed(*arguments, *self.PLATFORM, "--jitter", 20))
        for key in ("tokens", "nll", "cycles"):
            self.assertEqual(late[key], expected[key])
        self.assertEqual(expected["frozen_cycles"], 0)
        self.assertGreater(late["frozen_cycles"], 0)

    def test_refuses_bad_values_and_other_executors(self):
        for option, value in (("--systemc-core", "magic"), ("--memory", "sram"), ("--jitter", "x"),
                              ("--jitter", "5:"), ("--starve", "mem.read")):
            self.fail_with([option, value], "run", self.model, "-p", "a", "--executor", "systemc",
                           option, value)
        self.fail_with(["tape.recv", "host.send"], "run", self.model, "-p", "a", "--executor",
                       "systemc", "--starve", "tape")
        self.play(*self.PLATFORM)
        self.fail_with(["latency_cycles"], "run", self.model, "-p", "a", *self.PLATFORM,
                       "--memory-latency", 2_000_000)
        ids = self.path / "ids.txt"
        ids.write_text("1022 510\n")
        for option, value in (("--systemc-core", "rtl"), ("--memory", "ideal"), ("--jitter", 1),
                              ("--memory-latency", 0), ("--starve", "words")):
            for executor in ("emulator", "naive", "rtl", "reference"):
                refused = [option, "--executor systemc", "executor " + executor]
                self.fail_with(refused, "run", MODEL, "-p", "a", "--executor", executor, option,
                               value)
                self.fail_with(refused, "score", MODEL, "--ids-file", ids, "--executor", executor,
                               option, value)


class Score(Case):
    def test_agrees_with_the_reference(self):
        ids = self.path / "ids.txt"
        golden = json.loads((MODEL / "heldout_ids.json").read_text())
        flat = golden if isinstance(golden, list) else golden["ids"]
        ids.write_text(" ".join(map(str, flat[:256])) + "\n")
        logits = self.path / "logits.f32"
        machine = json.loads(self.succeed("score", MODEL, "--ids-file", ids, "--json", "-o", logits))
        float32 = json.loads(self.succeed("score", MODEL, "--ids-file", ids, "--json",
                                          "--executor", "reference"))
        self.assertEqual(machine["tokens"], 255)
        self.assertEqual(float32["tokens"], 255)
        self.assertLess(abs(machine["perplexity"] / float32["perplexity"] - 1), 0.01)
        self.assertEqual(logits.stat().st_size, 256 * 1024 * 4)

    def test_refuses_bad_ids(self):
        ids = self.path / "ids.txt"
        ids.write_text("1 2 x\n")
        self.fail_with(["ids.txt:1"], "score", MODEL, "--ids-file", ids)
        ids.write_text("1 2 99999\n")
        self.fail_with(["99999", "1024"], "score", MODEL, "--ids-file", ids, "-o",
                       self.path / "out")
        ids.write_text("\n")
        self.fail_with(["no ids"], "score", MODEL, "--ids-file", ids)
        self.assertEqual([p.name for p in self.path.iterdir()], ["ids.txt"])


class Rolls(Case):
    def test_text_and_back_is_the_same_roll(self):
        roll = self.roll()
        self.succeed("disassemble", roll, "-o", self.path / "text")
        self.succeed("assemble", self.path / "text", "-o", self.path / "again.roll")
        self.assertEqual(roll.read_bytes(), (self.path / "again.roll").read_bytes())

    def test_inspect_says_what_it_promises(self):
        entries = json.loads(self.succeed("inspect", self.roll(), "--json"))["entries"]
        self.assertEqual([e["name"] for e in entries], ["decode@128", "verify4@128", "prefill16@128"])
        for entry in entries:
            self.assertIn(entry["active_bound"], entry["bounds"])
            self.assertGreater(entry["cycles"], 0)
            self.assertTrue(0 < entry["utilization"]["mxm.mac"] < 1)
            self.assertLessEqual(max(entry["peak_queue_occupancy"].values()), 64)

    def test_edits_are_refused(self):
        roll = self.roll()
        data = bytearray(roll.read_bytes())
        for offset in (5, 40, len(data) // 3, len(data) // 2, len(data) - 4097):
            edited = bytearray(data)
            edited[offset] ^= 16
            bad = self.path / "bad.roll"
            bad.write_bytes(edited)
            for command in (("verify",), ("inspect",), ("run", "-p", "a", "-n", "1")):
                done = run(command[0], bad, *command[1:])
                self.assertEqual(done.returncode, 1, f"byte {offset}: {done.stdout}{done.stderr}")
        bad.write_bytes(data[:1000])
        self.fail_with(["bad.roll"], "verify", bad)

    def test_an_unsound_text_assembles_but_is_not_played(self):
        roll = self.roll()
        text = self.succeed("disassemble", roll)
        lines = text.split("\n")
        victim = next(i for i, line in enumerate(lines) if line.startswith("push mem.read"))
        del lines[victim]
        (self.path / "text").write_text("\n".join(lines))
        self.succeed("assemble", self.path / "text", "-o", self.path / "unsound.roll")
        self.fail_with(["not sound"], "verify", self.path / "unsound.roll")
        self.fail_with(["rules"], "run", self.path / "unsound.roll", "-p", "a", "-n", 1)

    def test_another_target_is_refused(self):
        self.fail_with(["sim16", "sim32"], "run", self.roll(), "-t", "sim32", "-p", "a")

    def test_trace_writes_both_formats(self):
        roll = self.roll()
        self.succeed("trace", roll, "-o", self.path / "t.json")
        events = json.loads((self.path / "t.json").read_text())["traceEvents"]
        self.assertGreater(len(events), 1000)
        self.succeed("trace", roll, "--entry", "verify4@128", "-o", self.path / "t.vcd")
        self.assertIn("$enddefinitions", (self.path / "t.vcd").read_text())
        self.fail_with(["nothing", "decode@128"], "trace", roll, "--entry", "nothing", "-o",
                       self.path / "u.json")
        self.assertFalse((self.path / "u.json").exists())


class Targets(Case):
    def test_lists_the_targets(self):
        text = self.succeed("targets")
        for name in ("sim16", "sim32", "duo16"):
            self.assertIn(name + ":", text)

    def test_an_impossible_target_is_refused_with_all_reasons(self):
        bad = self.path / "bad.toml"
        bad.write_text((SOURCE / "targets" / "sim16.toml").read_text()
                       .replace("streams = 16 ", "streams = 17 ")
                       .replace("load_streams = 4", "load_streams = 1"))
        self.fail_with(["streams", "load_streams"], "compile", MODEL, "-t", bad, "-o",
                       self.path / "x.roll")
        self.fail_with(["no target"], "compile", MODEL, "-t", "nothing", "-o", self.path / "x.roll")


class Setup(Case):
    def test_says_which_packages_are_missing_without_root(self):
        tools = self.path / "bin"
        tools.mkdir()
        for name, text in (("dpkg-query", 'case "$*" in *verilator*) exit 1;; esac; echo -n installed'),
                           ("id", "echo 1000")):
            (tools / name).write_text("#!/bin/sh\n" + text + "\n")
            (tools / name).chmod(0o755)
        for command in ("pianola-demo", "pianola-test"):
            done = subprocess.run([SOURCE / command], capture_output=True, text=True,
                                  env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"})
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("sudo apt-get update && sudo apt-get install -y verilator", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
