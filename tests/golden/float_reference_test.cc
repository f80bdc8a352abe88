// The float reference against goldens that other engines made: logits, greedy text, perplexity.
#include "reference/float_reference.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include "compiler/import/import_model.h"
#include "formats/parse_json.h"
#include "formats/read_safetensors.h"
#include "tests/support/shared_files.h"

namespace pianola {
namespace {

constexpr double kLogitTolerance = 1e-3;

Model import_shared(const std::string& path) {
  Result<Model> model = import_model(shared_path(path));
  EXPECT_TRUE(model.ok()) << to_string(model.error());
  return std::move(model).value();
}

Json read_json(const std::string& path) {
  Result<Json> json = parse_json(read_file(shared_path(path)), path);
  CHECK(json.ok());
  return std::move(json).value();
}

int argmax(const std::vector<float>& logits) {
  return static_cast<int>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

// Continues the prompt greedily by `count` tokens.
std::vector<int> greedy(FloatReference& reference, const std::vector<int>& prompt,
                        std::size_t count) {
  reference.reset();
  std::vector<float> logits;
  for (const int id : prompt) logits = reference.step(id);
  std::vector<int> out;
  while (true) {
    out.push_back(argmax(logits));
    if (out.size() == count) return out;
    logits = reference.step(out.back());
  }
}

// Sum of negative log likelihoods of ids[1..], in nats.
double negative_log_likelihood(FloatReference& reference, std::span<const int> ids) {
  const Eigen::MatrixXd logits = reference.logits(ids).cast<double>();
  double sum = 0;
  for (std::size_t p = 0; p + 1 < ids.size(); ++p) {
    const auto column = logits.col(static_cast<Eigen::Index>(p));
    const double top = column.maxCoeff();
    sum += std::log((column.array() - top).exp().sum()) + top - column(ids[p + 1]);
  }
  return sum;
}

// Largest difference between computed logits and golden rows [count][vocab].
double logit_error(const Eigen::MatrixXf& logits, std::string_view golden) {
  const auto vocab = static_cast<std::size_t>(logits.rows());
  CHECK(golden.size() % (vocab * sizeof(float)) == 0);
  const std::size_t count = golden.size() / (vocab * sizeof(float));
  CHECK(count > 0 && count <= static_cast<std::size_t>(logits.cols()));
  double error = 0;
  for (std::size_t i = 0; i < count * vocab; ++i) {
    float expected = 0;
    std::memcpy(&expected, golden.data() + i * sizeof(float), sizeof(float));
    const double difference = std::abs(double{expected} - double{logits.data()[i]});
    error = std::isnan(difference) ? INFINITY : std::max(error, difference);
  }
  return error;
}

// ---- nursery-llama --------------------------------------------------------------------------

void expect_nursery_greedy(const std::string& path, const std::string& golden_directory) {
  const Model model = import_shared(path);
  FloatReference reference(model.graph);
  const Json golden = read_json(golden_directory + "/golden.json");
  for (const Json& prompt : golden["prompts"]) {
    const auto expected = prompt["greedy_ids"].get<std::vector<int>>();
    EXPECT_EQ(greedy(reference, prompt["prompt_ids"], expected.size()), expected) << path;
  }
}

void expect_nursery_logits(const std::string& path, const std::string& golden_directory) {
  const Model model = import_shared(path);
  FloatReference reference(model.graph);
  const std::string bytes = read_file(shared_path(golden_directory + "/golden_logits.safetensors"));
  const auto golden = SafetensorsFile::parse(std::as_bytes(std::span(bytes)), "golden");
  ASSERT_TRUE(golden.ok());
  const SafetensorsTensor* ids_tensor = golden->find_tensor("input_ids");
  const SafetensorsTensor* logits_tensor = golden->find_tensor("logits");
  ASSERT_TRUE(ids_tensor != nullptr && logits_tensor != nullptr);
  std::vector<std::int64_t> wide(ids_tensor->bytes.size() / 8);
  std::memcpy(wide.data(), ids_tensor->bytes.data(), ids_tensor->bytes.size());
  const std::vector<int> ids(wide.begin(), wide.end());
  const std::string_view rows(reinterpret_cast<const char*>(logits_tensor->bytes.data()),
                              logits_tensor->bytes.size());
  const double error = logit_error(reference.logits(ids), rows);
  std::printf("%s: largest logit error %.2e\n", path.c_str(), error);
  EXPECT_LT(error, kLogitTolerance);
}

double nursery_loss(const std::string& path) {
  const Model model = import_shared(path);
  FloatReference reference(model.graph);
  const auto ids = read_json("models/nursery-llama/heldout_ids.json").get<std::vector<int>>();
  constexpr std::size_t kWindow = 256;
  double sum = 0;
  std::size_t scored = 0;
  for (std::size_t begin = 0; begin + kWindow <= ids.size(); begin += kWindow) {
    sum += negative_log_likelihood(reference, std::span(ids).subspan(begin, kWindow));
    scored += kWindow - 1;
  }
  const double loss = sum / static_cast<double>(scored);
  std::printf("%s: loss %.7f, perplexity %.6f\n", path.c_str(), loss, std::exp(loss));
  return loss;
}

TEST(FloatReference, GivesGoldenGreedyIdsOfNurseryLlama) {
  if (shared_is_missing()) GTEST_SKIP() << kSharedSkip;
  expect_nursery_greedy("models/nursery-llama", "models/nursery-llama");
  expect_nursery_greedy("models/gguf/nursery-llama-f32.gguf", "models/nursery-llama");
}

TEST(FloatReference, GivesGoldenGreedyIdsOfNurseryDraft) {
  if (shared_is_missing()) GTEST_SKIP() << kSharedSkip;
  expect_nursery_greedy("models/nursery-draft", "models/nursery-draft");
}

TEST(FloatReference, GivesGoldenLogitsOfNurseryModels) {
  if (shared_is_missing()) GTEST_SKIP() << kSharedSkip;
  expect_nursery_logits("models/nursery-llama", "models/nursery-llama");
  expect_nursery_logits("models/gguf/nursery-llama-f32.gguf", "models/nursery-llama");
  expect_nursery_logits("models/nursery-draft", "models/nursery-draft");
}

TEST(FloatReference, GivesGoldenPerplexityOfNurseryLlama) {
  if (shared_is_missing()) GTEST_SKIP() << kSharedSkip;
  const Json golden = read_json("models/nursery-llama/golden.json");
  EXPECT_NEAR(nursery_loss("models/nursery-llama"), golden["perplexity"]["loss"], 1e-5);
}

TEST(FloatReference, LosesLittleOnQ8OfNurseryLlama) {
  if (shared_is_missing()) GTEST_SKIP() << kSharedSkip;
  const Json golden = read_json("models/nursery-llama/golden.json");
  EXPECT_NEAR(nursery_loss("models/gguf/nursery-llama-q8_0.gguf"), golden["perplexity"]["loss"],
              2e-3);
}

// ---- stories260K ----------------------------------------------------------------------------

struct Story {
  const char* path;    // under data/stories260K
  const char* golden;  // logits of exactly these weights
  double loss;         // published, nats per token
  double tolerance;    // of the loss: of float engines 1e-5; others quantize activations too
};

// Names the file in test listings; without it GoogleTest prints addresses.
void PrintTo(const Story& story, std::ostream* out) { *out << story.path; }

constexpr Story kStories[] = {
    {"hf", "stories260K-f32.logits.f32", 0.942535, 1e-5},
    {"stories260K-f32.gguf", "stories260K-f32.logits.f32", 0.942535, 1e-5},
    {"stories260K-f16.gguf", "stories260K-f16.dequantized.logits.f32", 0.942534, 1e-5},
    {"stories260K-bf16.gguf", "stories260K-bf16.dequantized.logits.f32", 0.942726, 1e-5},
    {"stories260K-h192-q8_0.gguf", "stories260K-h192-q8_0.dequantized.logits.f32", 0.943862,
     1.5e-3},
    {"stories260K-h192-q5_1.gguf", "stories260K-h192-q5_1.dequantized.logits.f32", 0.965253,
     1.5e-3},
    {"stories260K-h192-q5_0.gguf", "stories260K-h192-q5_0.dequantized.logits.f32", 0.958894,
     1.5e-3},
    {"stories260K-h192-q4_1.gguf", "stories260K-h192-q4_1.dequantized.logits.f32", 1.018125,
     1.5e-3},
    {"stories260K-h192-q4_0.gguf", "stories260K-h192-q4_0.dequantized.logits.f32", 1.040085,
     1.5e-3},
};

class StoryTest : public testing::TestWithParam<Story> {
 protected:
  static constexpr const char* kFolder = "data/stories260K/";
};

TEST_P(StoryTest, GivesLogitsOfTheDequantizedWeights) {
  if (shared_is_missing()) GTEST_SKIP() << kSharedSkip;
  const Model model = import_shared(kFolder + std::string(GetParam().path));
  FloatReference reference(model.graph);
  const Json golden = read_json(kFolder + std::string("golden.json"));
  const auto ids = golden["ids"].get<std::vector<int>>();
  const std::string rows = read_file(shared_path(kFolder + std::string(GetParam().golden)));
  ASSERT_EQ(rows.size(), (ids.size() - 1) * model.graph.facts.vocab * sizeof(float));
  const double error = logit_error(reference.logits(ids), rows);
  std::printf("%s: largest logit error %.2e\n", GetParam().path, error);
  EXPECT_LT(error, kLogitTolerance);
}

TEST_P(StoryTest, GivesThePublishedLoss) {
  if (shared_is_missing()) GTEST_SKIP() << kSharedSkip;
  const Model model = import_shared(kFolder + std::string(GetParam().path));
  FloatReference reference(model.graph);
  std::istringstream lines(read_file(shared_path(kFolder + std::string("stories20.ids.txt"))));
  double sum = 0;
  std::size_t scored = 0;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::vector<int> ids;
    for (int id = 0; words >> id;) ids.push_back(id);
    if (ids.empty()) continue;
    sum += negative_log_likelihood(reference, ids);
    scored += ids.size() - 1;
  }
  EXPECT_EQ(scored, 5004u);
  const double loss = sum / static_cast<double>(scored);
  std::printf("%s: loss %.6f (published %.6f)\n", GetParam().path, loss, GetParam().loss);
  EXPECT_NEAR(loss, GetParam().loss, GetParam().tolerance);
}

INSTANTIATE_TEST_SUITE_P(Files, StoryTest, testing::ValuesIn(kStories), [](const auto& info) {
  std::string name = info.param.path;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(c); }, '_');
  return name;
});

TEST(FloatReference, GivesGoldenGreedyIdsOfStories) {
  if (shared_is_missing()) GTEST_SKIP() << kSharedSkip;
  const Json golden = read_json("data/stories260K/golden.json");
  const auto ids = golden["ids"].get<std::vector<int>>();
  const std::size_t prompt = golden["n_prompt"];
  const std::vector<int> begin(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(prompt));
  const std::vector<int> rest(ids.begin() + static_cast<std::ptrdiff_t>(prompt), ids.end());
  for (const char* path : {"data/stories260K/hf", "data/stories260K/stories260K-f32.gguf"}) {
    const Model model = import_shared(path);
    FloatReference reference(model.graph);
    EXPECT_EQ(greedy(reference, begin, rest.size()), rest) << path;
  }
}

}  // namespace
}  // namespace pianola
