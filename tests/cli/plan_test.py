"""`pianola plan` and `pianola make-model`: what is planned from dimensions is what is compiled."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOL, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
MODEL = SOURCE / "models" / "nursery-llama"
CONFIGURATIONS = SOURCE / "models" / "configs"


def run(*arguments):
    return subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True, timeout=500)


class Plan(unittest.TestCase):
    def succeed(self, *arguments):
        done = run(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_agrees_with_the_compiled_roll(self):
        with tempfile.TemporaryDirectory() as folder:
            roll = pathlib.Path(folder) / "model.roll"
            for target in ("sim16", "sim32", "duo16", "tsp32", "kv260"):
                for quantization in ("w8", "w4", "ternary"):
                    if (target, quantization) == ("tsp32", "ternary"):
                        continue  # loads more rows at once than a tile has
                    with self.subTest(target=target, quantization=quantization):
                        options = ["-t", target, "-q", quantization, "--context", 256]
                        plan = json.loads(
                            self.succeed("plan", MODEL / "config.json", *options, "--json"))
                        self.succeed("compile", MODEL, *options, "-o", roll)
                        made = json.loads(self.succeed("inspect", roll, "--json"))
                        self.assertEqual(plan["data_bytes"], made["data_bytes"])
                        self.assertEqual(plan["kv_bytes"], made["kv_bytes"])
                        self.assertEqual(len(plan["entries"]), len(made["entries"]))
                        for planned, entry in zip(plan["entries"], made["entries"]):
                            for key in ("name", "context", "tokens", "cycles", "bounds",
                                        "active_bound", "instruction_words"):
                                self.assertEqual(planned[key], entry[key], key)

    def test_verifies_as_many_tokens_as_asked(self):
        def names(*options):
            plan = json.loads(self.succeed("plan", MODEL / "config.json", "-t", "sim16", "--context", 128,
                                           "--json", *options))
            return [entry["name"] for entry in plan["entries"]]

        self.assertIn("verify4@128", names())
        self.assertIn("verify7@128", names("--verify", 7))
        self.assertFalse([name for name in names("--verify", 0) if name.startswith("verify")])
        done = run("plan", MODEL / "config.json", "-t", "sim16", "--verify", 99)
        self.assertEqual(done.returncode, 1)
        self.assertIn("2 to 16 tokens, or none with 0; got 99", done.stderr)

    def test_says_what_a_target_lacks(self):
        text = (SOURCE / "targets" / "sim16.toml").read_text()
        cases = {
            "ports.width_vectors is 2": [("width_vectors = 4", "width_vectors = 2"),
                                         ("host_bytes_per_cycle = 64", "host_bytes_per_cycle = 32")],
            "add the missing ones to vxm.stages": [('"root", ', "")],
            "no SXM": [('"SXM", ', "")],
            "has 8 slices": [('"MEM", "MEM", ', "")],
            "mem.slices_per_position is 2": [("slices_per_position = 4", "slices_per_position = 2")],
            "mxm.load_streams is 5": [("load_streams = 4", "load_streams = 5")],
        }
        with tempfile.TemporaryDirectory() as folder:
            target, roll = pathlib.Path(folder) / "lacking.toml", pathlib.Path(folder) / "model.roll"
            for message, changes in cases.items():
                with self.subTest(message):
                    lacking = text
                    for before, after in changes:
                        self.assertIn(before, lacking)
                        lacking = lacking.replace(before, after, 1)
                    target.write_text(lacking)
                    for arguments in (["plan", MODEL / "config.json"], ["compile", MODEL, "-o", roll]):
                        done = run(*arguments, "-t", target, "--context", 128)
                        self.assertEqual(done.returncode, 1, done.stdout)
                        self.assertIn(message, done.stderr)
                    self.assertFalse(roll.exists())

    def test_rate_is_that_of_the_clock(self):
        plan = json.loads(
            self.succeed("plan", MODEL / "config.json", "-t", "sim16", "--context", 128, "--json"))
        for entry in plan["entries"]:
            rate = entry["tokens"] * plan["clock_mhz"] * 1e6 / entry["cycles"]
            self.assertAlmostEqual(entry["tokens_per_second"], rate, delta=1e-9 * rate)

    def test_random_model_plays_as_its_configuration_says(self):
        with tempfile.TemporaryDirectory() as folder:
            config = json.loads((MODEL / "config.json").read_text())
            config.update(num_hidden_layers=2, hidden_size=96, num_attention_heads=6,
                          num_key_value_heads=3, intermediate_size=200, vocab_size=700, bos_token_id=1, eos_token_id=2)
            path = pathlib.Path(folder) / "config.json"
            path.write_text(json.dumps(config))
            first, second = pathlib.Path(folder) / "first", pathlib.Path(folder) / "second"
            for directory in (first, second):
                self.succeed("make-model", path, "--seed", 7, "-o", directory)
            for name in ("config.json", "model.safetensors", "tokenizer.json"):
                self.assertEqual((first / name).read_bytes(), (second / name).read_bytes())
            options = ["-t", "sim16", "--context", 128, "--json"]
            self.assertEqual(self.succeed("plan", path, *options),
                             self.succeed("plan", first, *options))
            play = json.loads(self.succeed("run", first, "--context", 128, "-p", "a b", "-n", 3,
                                           "--json"))
            self.assertEqual(len(play["ids"]), 3)
            self.assertEqual(play["cycles"], play["predicted_cycles"])

    def test_every_configuration_can_be_read(self):
        # Less of everything that makes it long and nothing that decides whether it is accepted.
        for path in sorted(CONFIGURATIONS.glob("*.json")):
            config = json.loads(path.read_text())
            with self.subTest(path.stem), tempfile.TemporaryDirectory() as folder:
                config.update(num_hidden_layers=1, vocab_size=64, intermediate_size=64,
                              bos_token_id=1, eos_token_id=2)
                small = pathlib.Path(folder) / "config.json"
                small.write_text(json.dumps(config))
                self.succeed("plan", small, "-t", "sim32", "--context", 64)

    def test_plans_products(self):
        plan = json.loads(self.succeed("plan", "--gemm", "2304x4096x1676", "-t", "tsp320", "--json"))
        self.assertEqual((plan["m"], plan["k"], plan["n"]), (2304, 4096, 1676))
        self.assertEqual([entry["name"] for entry in plan["entries"]], ["load", "gemm", "fetch"])
        gemm = plan["entries"][1]
        macs = 2304 * 4096 * 1676
        self.assertEqual(gemm["active_bound"], "mac")
        self.assertEqual(gemm["bounds"]["mac"], -(-macs // (4 * 320 * 320)))
        self.assertAlmostEqual(gemm["mxm_utilization"], macs / (4 * 320 * 320 * gemm["cycles"]), places=9)
        self.assertGreater(gemm["mxm_utilization"], 0.95)
        rate = 2 * macs * plan["clock_mhz"] * 1e6 / gemm["cycles"] * 1e-12
        self.assertAlmostEqual(gemm["tera_operations_per_second"], rate, places=6)
        self.assertIn(f"{gemm['cycles']} cycles", self.succeed("plan", "--gemm", "2304x4096x1676", "-t", "tsp320"))

    def test_says_what_is_wrong_with_a_product(self):
        for text in ("2304", "1x2", "1x2x", "1x2x3x", "1x2x3x4", "axbxc", "x", "1 x2x3", "99999999999x1x1"):
            with self.subTest(text):
                done = run("plan", "--gemm", text, "-t", "tsp320")
                self.assertEqual(done.returncode, 1)
                self.assertIn("expected MxKxN", done.stderr)
        done = run("plan", "--gemm", "0x1x1", "-t", "tsp320")
        self.assertEqual(done.returncode, 1)
        self.assertIn("m of the product: expected 1 to 1048576, got 0", done.stderr)
        for arguments in (["plan"], ["plan", MODEL / "config.json", "--gemm", "1x1x1"]):
            self.assertNotEqual(run(*arguments).returncode, 0)

    def test_says_which_configurations_there_are(self):
        done = run("plan", "gpt-9")
        self.assertEqual(done.returncode, 1)
        self.assertIn("smollm2-135m", done.stderr)
        done = run("make-model", "gpt-9", "-o", "nowhere")
        self.assertEqual(done.returncode, 1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
