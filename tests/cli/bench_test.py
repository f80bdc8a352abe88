"""`pianola bench`: exact figures against the checked-in table, and the emulator's beside their limits."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOL, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
TABLE = SOURCE / "bench" / "cycles.json"
MODEL = SOURCE / "models" / "nursery-llama"


def run(*arguments):
    return subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True, timeout=1500)


class Bench(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def test_cycles_are_those_of_the_table(self):
        done = run("bench", "--cycles", "--table", TABLE)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_another_number_of_cycles_is_a_failure_that_names_it(self):
        table = json.loads(TABLE.read_text())
        title = "nursery-llama on sim16, w8, context 512"
        table[title]["decode@128"] += 1
        path = self.folder / "table.json"
        path.write_text(json.dumps(table))
        options = ("bench", "--cycles", "--targets", "sim16", "--table", path)
        done = run(*options)
        self.assertEqual(done.returncode, 1)
        self.assertIn(title, done.stdout)
        self.assertIn("1 rows differ", done.stderr)
        self.assertEqual(run(*options, "--write-table").returncode, 0)
        self.assertEqual(run(*options).returncode, 0)

    def test_a_table_that_is_none_is_refused(self):
        path = self.folder / "table.json"
        path.write_text("[")
        done = run("bench", "--cycles", "--targets", "sim16", "--table", path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("expected a table of cycles", done.stderr)

    def test_measures_the_emulator_beside_a_plain_read(self):
        roll, figures = self.folder / "x.roll", self.folder / "x.json"
        compiled = run("compile", MODEL, "-t", "sim16", "--context", 128, "-o", roll)
        self.assertEqual(compiled.returncode, 0, compiled.stderr)
        done = run("bench", "--roll", roll, "--tokens", 8, "--prompt", 40, "--kernels", "portable",
                   "--operations", "--json", figures)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("product of 1 columns", done.stdout)
        measured = json.loads(figures.read_text())
        self.assertEqual(measured["kernels"], "portable")
        self.assertEqual(set(measured["lift_seconds"]),
                         {"decode@128", "verify4@128", "prefill16@128"})
        for key in ("decode_tokens_per_second", "plain_read_bytes_per_second",
                    "prefill_macs_per_second"):
            self.assertGreater(measured[key], 0)

    def test_refuses_kernels_that_the_host_lacks(self):
        roll = self.folder / "x.roll"
        self.assertEqual(run("compile", MODEL, "--context", 128, "-o", roll).returncode, 0)
        done = run("bench", "--roll", roll, "--kernels", "abacus")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no kernels `abacus` on this host; it has portable", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
