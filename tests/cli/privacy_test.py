"""What `privacy` says: epsilon, noise, and what a claim really is.

Usage: privacy_test.py PROGRAM [unittest arguments]
"""

import json
import re
import unittest

from program import Case


class Epsilon(Case):
    def test_prints_both_accountants(self):
        text = self.ok("privacy", "epsilon", "--rate", "0.04", "--noise", "1.5", "--steps", "2250", "--delta", "1e-5")
        self.assertRegex(text, r"Renyi DP, order 3\.9 +7\.329")
        lower, upper = map(float, re.search(r"both sides +(\S+) to (\S+)", text).groups())
        self.assertTrue(6.76 < lower < upper < 6.775, text)
        self.assertIn("for adding or removing one record: Poisson sampling at rate 0.04, noise multiplier 1.5, 2250 "
                      "steps", text)

    def test_takes_phases_as_lists(self):
        def epsilons(*flags):
            result = json.loads(self.ok("privacy", "epsilon", "--rate", "1/25", "--json", *flags))
            self.assertEqual(result["schema"], "pellucid.privacy/1")
            return [g["epsilon"] for g in result["guarantees"]], result
        one, _ = epsilons("--noise", "1.5", "--steps", "1500")
        split, _ = epsilons("--noise", "1.5", "--steps", "1000,500")
        mixed, result = epsilons("--noise", "1.5,1.2", "--steps", "1000,500")
        self.assertAlmostEqual(one[0], split[0], 9)
        self.assertGreater(mixed[0], one[0])
        self.assertEqual([p["noise"] for p in result["guarantees"][0]["phases"]], [1.5, 1.2])
        self.assertGreater(result["guarantees"][2]["lowest_epsilon"], one[2])

    def test_says_if_no_order_fits(self):
        text = self.ok("privacy", "epsilon", "--rate", "0.01", "--noise", "1000", "--steps", "10")
        self.assertIn("at the end of those tried", text)

    def test_refuses_what_does_not_fit(self):
        epsilon = ["privacy", "epsilon"]
        self.refused(2, ["--noise: got 0 values, expected one"], *epsilon, "--steps", "1")
        self.refused(2, ["--steps: got 2 values, expected one, or 3 as of the longest list"], *epsilon,
                     "--noise", "1,2,3", "--steps", "1,2")
        self.refused(2, ['--rate: got "1.5"', "from 0 to 1"], *epsilon, "--rate", "1.5", "--noise", "1", "--steps", "1")
        self.refused(2, ["noise: got 0", "above 0"], *epsilon, "--noise", "0", "--steps", "1")
        self.refused(2, ["delta: got 0", "1e-100"], *epsilon, "--noise", "1", "--steps", "1", "--delta", "0")
        self.refused(2, ["--nois", "did you mean --noise?"], *epsilon, "--nois", "1")
        self.refused(2, ["epsilom", "did you mean epsilon?"], "privacy", "epsilom")
        self.refused(2, ["privacy --help"], "privacy")


class Noise(Case):
    def test_is_what_opacus_finds(self):
        result = json.loads(self.ok("privacy", "noise", "--epsilon", "8", "--rate", "0.04", "--steps", "2250",
                                    "--json"))
        renyi, tight = (row["noise"] for row in result["noise"])
        self.assertAlmostEqual(renyi, 1.416, 3)
        self.assertAlmostEqual(tight, 1.346, 2)

    def test_without_sampling_is_exact(self):
        text = self.ok("privacy", "noise", "--epsilon", "1")
        self.assertRegex(text, r"analytic Gaussian mechanism, exact +3\.7307")

    def test_refuses_what_does_not_fit(self):
        self.refused(2, ["epsilon: got 0, expected a number above 0"], "privacy", "noise")
        self.refused(2, ["rate: got 0"], "privacy", "noise", "--epsilon", "1", "--rate", "0")
        self.refused(2, ["--rate: got 2 values"], "privacy", "noise", "--epsilon", "1", "--rate", "0.1,0.2")


class Reconstruction(Case):
    def test_is_what_the_gaussian_allows(self):
        text = self.ok("privacy", "reconstruction", "--noise", "1", "--prior", "0.1,0.5")
        self.assertRegex(text, r"(?m)^ *0\.1 +0\.389[0-9]+$")  # Phi(Phi^-1(0.1) + 1) = 0.38886
        self.assertRegex(text, r"(?m)^ *0\.5 +0\.841[0-9]+$")  # Phi(1) = 0.84134

    def test_takes_phases_and_guarantees(self):
        def success(*flags):
            result = json.loads(self.ok("privacy", "reconstruction", "--json", *flags))
            self.assertEqual(result["schema"], "pellucid.privacy/1")
            return result["reconstruction"][0]["success"]
        split = success("--rate", "1/25", "--noise", "1.5", "--steps", "100,200")
        self.assertAlmostEqual(split, success("--rate", "0.04", "--noise", "1.5", "--steps", "300"), 3)
        self.assertTrue(0.1 < split < 0.4, split)
        self.assertAlmostEqual(success("--epsilon", "1", "--delta", "0.01"), 0.1 * 2.718281828 + 0.01, 8)

    def test_refuses_what_does_not_fit(self):
        verb = ["privacy", "reconstruction"]
        self.refused(2, ["--noise: got neither it nor --epsilon"], *verb)
        self.refused(2, ["--noise: got both it and --epsilon"], *verb, "--noise", "1", "--epsilon", "1")
        self.refused(2, ["--prior: got none"], *verb, "--noise", "1", "--prior", "")
        self.refused(2, ["prior: got 1, expected a number above 0 and below 1"], *verb, "--noise", "1", "--prior", "1")
        self.refused(2, ["--noise: got 2 values, expected one, or 3"], *verb, "--noise", "1,2", "--steps", "1,2,3")


class Check(Case):
    def test_says_what_flower_gives(self):
        text = self.ok("privacy", "check", "--epsilon", "1", "--delta", "1e-5", "--clip", "1", "--rounds", "100",
                       "--clients", "10")
        self.assertRegex(text, r"each update +an update or none +0\.75098 +10\.394")
        self.assertRegex(text, r"only the sum of 10 updates +an update or none +\S+ +2\.6884")
        self.assertIn("adding up the claims says 100, at delta 0.001", text)
        self.assertNotIn("unsound", text)

    def test_says_where_the_formula_is_unsound(self):
        result = json.loads(self.ok("privacy", "check", "--epsilon", "50", "--json"))
        self.assertFalse(result["sound"])
        self.assertAlmostEqual(result["one_round"], 96.43, 2)
        self.assertIn("unsound", result["sentences"][0])

    def test_refuses_what_does_not_fit(self):
        self.refused(2, ["clip: got 0"], "privacy", "check", "--clip", "0")
        self.refused(2, ['--rounds: got "0"'], "privacy", "check", "--rounds", "0")


if __name__ == "__main__":
    unittest.main()
