"""What every verb says: help, mistakes, the verbs in a row, two reports side by side.

Usage: verbs_test.py PROGRAM [unittest arguments]
"""

import json
import os
import shutil
import tempfile
import unittest

from program import SHORT_DEMO, STUDY, TINY, VERBS, Case, run


class Help(Case):
    def test_names_every_verb_and_the_exit_codes(self):
        text = self.ok("--help")
        for verb in VERBS:
            self.assertIn(f"\n  {verb} ", text)
        self.assertIn("Exit codes", text)

    def test_of_each_verb_shows_its_flags_and_defaults(self):
        for verb in VERBS:
            self.assertIn("--help", self.ok(verb, "--help"))
        self.assertIn("passes over the training images [4]", " ".join(self.ok("train", "--help").split()))
        self.assertIn("[on; --no-attack.box disables it]", " ".join(self.ok("invert", "--help").split()))

    def test_help_shows_the_settings_of_the_attack_that_is_named(self):
        def shown(*arguments):
            return " ".join(self.ok("invert", *arguments, "--help").split())
        self.assertIn("steps of the optimiser in each restart [1000]", shown())
        self.assertIn("steps of the optimiser in each restart [4800]", shown("--attack", "ig"))
        self.refused(2, ["attack", "did you mean residual?"], "invert", "--attack", "residul", "--help")

    def test_version_names_the_version(self):
        self.assertRegex(self.ok("--version"), r"^\d+\.\d+\.\d+ \(")


class Switches(Case):
    def test_a_switch_takes_a_value_behind_an_equals_sign(self):
        def trained(flag):
            done = self.ok("train", *TINY, "--test-images", "20", "--epochs", "1", "--out", self.path("r" + flag),
                           flag, "--json")
            return json.loads(done)["config"]["flip"]
        self.assertTrue(trained("--no-flip=false"))
        self.assertFalse(trained("--flip=false"))
        self.refused(2, ["--flip", "maybe"], "train", "--flip=maybe")


class Mistakes(Case):
    def test_a_misspelt_flag_names_the_nearest(self):
        self.refused(2, ["--epcohs", "did you mean --epochs?"], "train", "--epcohs", "3")

    def test_a_misspelt_verb_names_the_nearest(self):
        self.refused(2, ["trian", "did you mean train?"], "trian")

    def test_a_misspelt_key_names_the_nearest(self):
        config = self.write("c.toml", "epocs = 3\n")
        self.refused(2, ["c.toml", "epocs", "did you mean epochs?"], "train", "--config", config)

    def test_a_misspelt_table_names_the_nearest(self):
        config = self.write("c.toml", "[atack]\nepsilon = 0.1\n")
        self.refused(2, ["[atack]", "did you mean attack?"], "train", "--config", config)

    def test_a_setting_is_spelt_as_in_a_study(self):
        tiny = [*TINY, "--test-images", "20", "--out", self.path("r")]
        done = self.ok("train", *tiny, "--training.epochs", "1", "--training.test-attack.iterations", "2", "--json")
        self.assertEqual(json.loads(done)["config"]["epochs"], 1)
        self.assertEqual(json.loads(done)["config"]["test_attack"]["iterations"], 2)
        config = self.write("c.toml", "[training]\nepochs = 1\n[training.test_attack]\niterations = 2\n")
        self.assertEqual(json.loads(self.ok("train", *tiny, "--config", config, "--json"))["config"],
                         json.loads(done)["config"])
        config = self.write("c.toml", "[training]\nepochs = 1\n[training.attack]\nepsilom = 0.1\n")
        self.refused(2, ["c.toml:4: [training.attack]", "did you mean epsilon?"], "train", "--config", config)
        config = self.write("c.toml", "[training.atack]\nepsilon = 0.1\n")
        self.refused(2, ["[training.atack]", "did you mean training.attack?"], "train", "--config", config)

    def test_a_value_out_of_range_says_what_is_expected(self):
        self.refused(2, ["--epochs", 'got "0"', "a whole number from 1"], "train", "--epochs", "0")
        config = self.write("c.toml", 'epochs = "three"\n')
        self.refused(2, ["epochs", '"three"', "a whole number from 1"], "train", "--config", config)

    def test_a_config_that_is_not_toml_names_the_line(self):
        self.refused(2, ["c.toml:2:"], "train", "--config", self.write("c.toml", "epochs = 1\n= 3\n"))

    def test_a_missing_config_is_an_io_error(self):
        self.refused(3, ["none.toml"], "train", "--config", self.path("none.toml"))

    def test_missing_arguments_and_verbs_are_usage_errors(self):
        self.refused(2, ["--help"], "evade")
        self.refused(2, ["--help"])

    def test_an_unknown_network_names_the_nearest(self):
        self.refused(2, ["small_cnm", "small_cnn"], "train", "--net", "small_cnm", *TINY, "--out", self.path("r"))

    def test_an_unknown_data_set_names_the_nearest(self):
        self.refused(2, ["paterns", "did you mean patterns?"], "train", "--data", "paterns", "--out", self.path("r"))

    def test_a_missing_data_set_says_where_it_looked_and_how_to_get_it(self):
        environment = {**os.environ, "PELLUCID_DATA": self.path(), "XDG_CACHE_HOME": self.path()}
        self.refused(3, [self.path(), "pellucid data fetch mnist"], "train", "--data", "mnist", "--out", self.path("r"),
                     env=environment)

    def test_a_missing_or_damaged_model_is_named(self):
        self.refused(3, ["none.safetensors"], "evade", self.path("none.safetensors"))
        self.refused(3, ["m.safetensors", "header length"], "evade", self.write("m.safetensors", b"\xff" * 64))

    def test_explain_and_list_name_the_nearest(self):
        self.refused(2, ["did you mean psnr?"], "explain", "psnt")
        self.refused(2, ["did you mean nets?"], "list", "nest")

    def test_a_folder_without_result_is_refused(self):
        self.refused(3, ["result.json"], "report", self.path())

    def test_only_two_runs_are_compared(self):
        self.refused(2, ["--out", "expected two"], "report", "--out", self.path("page.html"), STUDY)

    def test_a_demo_of_an_older_version_says_what_to_do(self):
        self.write("result.json", '{"schema": "pellucid.comparison/1"}')
        self.refused(3, ["the demo of an older version", "run `pellucid demo` again"], "report", self.path())
        self.write("config.json", '{"verb": "demo"}')
        self.refused(2, ["the demo of an older version", "--out"], *SHORT_DEMO, "--data", "patterns",
                     "--out", self.path())


class Verbs(Case):
    @classmethod
    def setUpClass(cls):
        shared = tempfile.TemporaryDirectory()
        cls.addClassCleanup(shared.cleanup)
        cls.trained = run("train", *TINY, "--epochs", "1", "--out", shared.name, "--json")
        cls.model = os.path.join(shared.name, "model.safetensors")

    def test_capture_and_invert_work_on_files(self):
        model, update, truth = self.model, self.path("u.safetensors"), self.path("t.safetensors")
        captured = json.loads(self.ok("capture", model, "--data", "patterns", "--images", "3", "--out", update,
                                      "--truth", truth, "--json"))
        self.assertEqual(captured["images"][0]["image"], 3)
        self.assertGreater(captured["gradient_norm"], 0)
        attack = ["invert", update, "--model", model, "--attack.restarts", "2", "--attack.iterations", "40",
                  "--out", self.path("i"), "--json"]
        blind = json.loads(self.ok(*attack))
        self.assertNotIn("psnr", blind["images"][0])
        scored = json.loads(self.ok(*attack, "--truth", truth))
        self.assertGreater(scored["images"][0]["psnr"], 3)
        self.assertEqual(blind["matching_loss"], scored["matching_loss"])  # the truth changes nothing but the score
        with open(scored["images"][0]["file"], "rb") as file:
            self.assertEqual(file.read(8), b"\x89PNG\r\n\x1a\n")

        self.ok("train", *TINY, "--train-images", "10", "--epochs", "1", "--seed", "1", "--out", self.path("other"))
        self.refused(3, ["computed with the network"], "invert", update,
                     "--model", self.path("other", "model.safetensors"))
        self.refused(3, ["is this an update?"], "invert", model, "--model", model)
        self.refused(3, ["no truth"], *attack[:-1], "--truth", model)
        self.refused(2, ["attack", "did you mean residual?"], "invert", update, "--model", model, "--attack", "residul")

    def test_evade_counts_with_an_interval(self):
        result = json.loads(self.ok("evade", self.model, "--data", "patterns",
                                    "--images", "20", "--epsilon", "8/255", "--iterations", "2", "--json"))
        self.assertEqual(result["config"]["epsilon"], "8/255")
        self.assertEqual(result["robust"]["n"], 20)
        self.assertLessEqual(result["robust"]["low"], result["robust"]["value"])

    def test_evade_judges_by_the_worst_attack_and_goes_on(self):
        attack = ["evade", self.model, "--data", "patterns", "--images", "30",
                  "--epsilon", "0.1", "--iterations", "5", "--attacks", "pgd,apgd-ce,square",
                  "--apgd-ce.iterations", "10", "--square.queries", "100", "--batch-size", "10",
                  "--out", self.path("e"), "--json"]
        first = json.loads(self.ok(*attack))
        self.assertEqual([a["name"] for a in first["evaluation"]["attacks"]], ["pgd", "apgd-ce", "square"])
        self.assertEqual(first["robust"], first["evaluation"]["worst_case"])
        self.assertLessEqual(first["robust"]["value"], first["evaluation"]["attacks"][0]["alone"]["value"])
        self.assertEqual(first["attack"], "worst case of PGD, APGD-CE and Square")
        self.assertAlmostEqual(first["evaluation"]["pgd_gap"],
                               first["evaluation"]["attacks"][0]["alone"]["value"] - first["robust"]["value"])
        self.assertIsNone(first["model_info"]["autoattack_acc"])
        self.assertEqual(first["model_info"]["eps"], "0.1")
        cells = self.lines("e", "cells.jsonl")
        with open(self.path("e", "cells.jsonl"), "w") as file:  # as if it had been killed while it wrote the last one
            file.write("".join(cells[:-1]) + cells[-1][:40])
        again = json.loads(self.ok(*attack))
        self.assertEqual(first["evaluation"]["broken_by"], again["evaluation"]["broken_by"])
        after = self.lines("e", "cells.jsonl")
        self.assertEqual(after[:-1], [*cells[:-1], cells[-1][:40] + "\n"], "what was whole was not judged again")
        self.assertEqual(json.loads(after[-1])["name"], json.loads(cells[-1])["name"])

    def test_evade_refuses_what_makes_no_sense(self):
        attack = ["evade", self.model, "--data", "patterns", "--images", "10"]
        self.refused(2, ["--attacks", "pgd,sqare", "square"], *attack, "--attacks", "pgd,sqare")
        self.refused(2, ["is 8/255 meant?"], *attack, "--epsilon", "8")
        self.refused(2, ["cw needs norm l2"], *attack, "--attacks", "cw")

    def test_bench_times_both_ways_in_one_run(self):
        result = json.loads(self.ok("bench", "engine", "--nets", "lenet,small_cnn", "--repeats", "1", "--trials", "1,2",
                                    "--threads", "1", "--json"))
        self.assertEqual([(row["net"], row["trials"]) for row in result["rows"]],
                         [("lenet", 1), ("lenet", 2), ("small_cnn", 1), ("small_cnn", 2)])
        for row in result["rows"]:
            self.assertGreater(row["double_backward_ms"], 0)
            self.assertAlmostEqual(row["ratio"], row["double_backward_ms"] / row["engine_ms"])
            self.assertGreater(row["memory_bytes"], 100_000)
            self.assertGreater(row["of_peak"], 0)
            self.assertLessEqual(row["of_peak"], 1, "the engine is among what the peak is the best of")
        self.assertGreaterEqual(result["peak_gflops"], max(row["gflops"] for row in result["rows"]))
        self.refused(2, ["trials: got \"1,x\"", "numbers from 1 to 64"], "bench", "engine", "--nets", "lenet",
                     "--trials", "1,x")
        self.refused(2, ['got "smal_cnn"', "did you mean small_cnn?"], "bench", "engine", "--nets", "smal_cnn")

    def test_list_and_explain_know_the_same_names(self):
        items = json.loads(self.ok("list", "--json"))
        self.assertEqual(len({item["name"] for item in items}), len(items))
        for item in {item["kind"]: item for item in items}.values():  # one of each kind
            self.assertIn(item["summary"], self.ok("explain", item["name"]))

    def test_data_list_says_what_is_missing(self):
        environment = {**os.environ, "PELLUCID_DATA": self.path(), "XDG_CACHE_HOME": self.path()}
        found = {item["name"]: item for item in json.loads(self.ok("data", "list", "--json", env=environment))}
        self.assertEqual(found["patterns"]["missing"], [])
        self.assertIn("pellucid data fetch", found["mnist"]["fix"])

    def test_results_go_to_stdout_and_nothing_else_does(self):
        json.loads(self.trained.stdout)
        self.assertEqual(self.trained.stderr, "")


class Report(Case):
    def test_two_runs_stand_side_by_side(self):
        a, b = (shutil.copytree(STUDY, self.path(name)) for name in "ab")
        with open(os.path.join(b, "result.json")) as file:
            result = json.load(file)
        result["config"]["images"] = 64
        with open(os.path.join(b, "result.json"), "w") as file:
            json.dump(result, file)
        lines = self.ok("report", a, b).splitlines()
        self.assertEqual(lines[:2], [os.path.join(a, "report.html"), os.path.join(b, "report.html")])
        self.assertIn(["config.images", "5", "64"], [line.split() for line in lines])
        self.assertEqual(lines[-1], os.path.join(b, "comparison.html"))
        with open(lines[-1]) as page:
            self.assertIn("config.images", page.read())
        self.assertEqual(self.ok("report", a, b, "--out", self.path("page.html")).splitlines()[-1],
                         self.path("page.html"))


if __name__ == "__main__":
    unittest.main()
