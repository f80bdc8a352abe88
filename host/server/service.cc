#include "host/server/service.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <random>

#include "host/page/page_files.h"
#include "host/server/body_fields.h"
#include "host/shared_engine.h"

namespace pianola {
namespace {

constexpr std::size_t kTokensMax = 1 << 20;  // of one /detokenize

struct Route {
  std::string_view method, path;
  bool open;  // without a key
};
constexpr std::array kRoutes = {
    Route{"POST", "/v1/chat/completions", false},
    Route{"POST", "/v1/completions", false},
    Route{"POST", "/v1/quote", false},
    Route{"POST", "/tokenize", false},
    Route{"POST", "/detokenize", false},
    Route{"POST", "/apply-template", false},
    Route{"GET", "/v1/models", true},
    Route{"GET", "/v1/models/{id}", true},
    Route{"GET", "/health", true},
    Route{"GET", "/metrics", false},
};

std::int64_t seconds_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

HttpResponse json_response(const OrderedJson& json) {
  return {200, "application/json", to_text(json), {}};
}

}  // namespace

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  // Every byte of `a` is looked at, whatever `b` is.
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto other = static_cast<unsigned char>(b.empty() ? 0 : b[i % b.size()]);
    difference |= static_cast<unsigned>(static_cast<unsigned char>(a[i]) ^ other);
  }
  return difference == 0;
}

Service::Service(ServedModel model, EngineThread& engine, ServiceOptions options)
    : model_(std::move(model)),
      engine_(&engine),
      options_(std::move(options)),
      report_(*model_.roll, model_.id, model_.executor) {
  std::random_device device;
  next_id_ = std::uint64_t{device()} << 32 | device();
}

std::string Service::route_of(const HttpRequest& request) {
  if (request.path.starts_with("/v1/models/")) return "/v1/models/{id}";
  for (const Route& route : kRoutes) {
    if (route.path == request.path) return std::string(route.path);
  }
  return find_page_file(request.path) != nullptr ? "page" : "other";
}

HttpResponse Service::error_response(const ApiError& error) const {
  HttpResponse response{error.status, "application/json", to_text(to_json(error)), {}};
  if (error.status == 401) response.fields.emplace_back("WWW-Authenticate", "Bearer");
  if (error.status == 429 || error.status == 503) response.fields.emplace_back("Retry-After", "1");
  return response;
}

// ---- Access ---------------------------------------------------------------------------------

bool Service::origin_is_allowed(const HttpRequest& request) const {
  if (request.origin.empty()) return true;
  // The page that this server itself gave out.
  if (request.origin == "http://" + request.host || request.origin == "https://" + request.host) {
    return true;
  }
  return std::any_of(
      options_.cors_origins.begin(), options_.cors_origins.end(),
      [&](const std::string& origin) { return origin == "*" || origin == request.origin; });
}

std::vector<std::pair<std::string, std::string>> Service::cors_fields(
    const HttpRequest& request) const {
  if (request.origin.empty() || options_.cors_origins.empty() || !origin_is_allowed(request)) {
    return {};
  }
  return {{"Access-Control-Allow-Origin", request.origin},
          {"Vary", "Origin"},
          {"Access-Control-Allow-Methods", "GET, POST, OPTIONS"},
          {"Access-Control-Allow-Headers",
           "Authorization, Content-Type, OpenAI-Organization, OpenAI-Project, X-Stainless-Lang, "
           "X-Stainless-Package-Version, X-Stainless-OS, X-Stainless-Arch, X-Stainless-Runtime, "
           "X-Stainless-Runtime-Version, X-Stainless-Retry-Count, X-Stainless-Timeout, "
           "X-Stainless-Helper-Method"},
          {"Access-Control-Max-Age", "600"}};
}

std::optional<ApiError> Service::check_access(const HttpRequest& request) const {
  if (!origin_is_allowed(request)) {
    return ApiError{403,
                    "this server does not answer pages of " + request.origin +
                        "; start it with --cors-origin to allow them",
                    {},
                    "origin_not_allowed"};
  }
  const std::string route = route_of(request);
  const bool is_get = request.method == "GET" || request.method == "HEAD";
  const bool open = (is_get && find_page_file(request.path) != nullptr) ||
                    std::any_of(kRoutes.begin(), kRoutes.end(), [&](const Route& r) {
                      return r.open && r.path == route && is_get;
                    });
  if (options_.api_keys.empty() || open) return std::nullopt;
  constexpr std::string_view kScheme = "bearer ";
  std::string scheme = request.authorization.substr(0, kScheme.size());
  for (char& c : scheme) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const std::string given =
      scheme == kScheme ? request.authorization.substr(kScheme.size()) : std::string();
  bool known = false;  // all keys are compared, whichever it is
  for (const std::string& key : options_.api_keys) known |= equal_in_constant_time(key, given);
  if (known && !given.empty()) return std::nullopt;
  return ApiError{401,
                  given.empty() ? "no API key; send \"Authorization: Bearer KEY\""
                                : "the API key is not one of this server's",
                  {},
                  "invalid_api_key"};
}

std::optional<ApiError> Service::check_model(const std::string& name) const {
  if (name.empty() || name == model_.id) return std::nullopt;
  return ApiError{404, "this server has the model \"" + model_.id + "\" and no other", "model",
                  "model_not_found"};
}

// ---- Routes ---------------------------------------------------------------------------------

Service::Answer Service::handle(const HttpRequest& request) {
  if (const auto error = check_access(request)) return error_response(*error);
  if (request.method == "OPTIONS") return HttpResponse{204, {}, {}, {}};
  if (request.method == "GET" || request.method == "HEAD") return get(request);
  if (request.method == "POST") return post(request);
  return error_response({405, "the method is not supported", {}, "method_not_allowed"});
}

Service::Answer Service::get(const HttpRequest& request) {
  if (request.path == "/health") return health();
  if (request.path == "/metrics") {
    return HttpResponse{
        200, "text/plain; version=0.0.4; charset=utf-8", metrics_.text(engine_->load()), {}};
  }
  if (request.path == "/v1/models") {
    return json_response({{"object", "list"}, {"data", OrderedJson::array({describe_model()})}});
  }
  if (request.path == "/pianola/machine") return json_response(report_.machine());
  if (request.path == "/pianola/timeline") return timeline(request);
  if (const PageFile* file = find_page_file(request.path)) {
    return HttpResponse{200,
                        std::string(file->content_type),
                        std::string(file->content),
                        {{"Content-Security-Policy", std::string(kPageSecurityPolicy)},
                         {"Referrer-Policy", "no-referrer"},
                         {"Cache-Control", "no-cache"}}};
  }
  constexpr std::string_view kOneModel = "/v1/models/";
  if (request.path.starts_with(kOneModel)) {
    if (const auto error = check_model(request.path.substr(kOneModel.size()))) {
      return error_response(*error);
    }
    return json_response(describe_model());
  }
  for (const Route& route : kRoutes) {
    if (route.path == request.path) {
      HttpResponse response =
          error_response({405, "this path takes POST", {}, "method_not_allowed"});
      response.fields.emplace_back("Allow", "POST");
      return response;
    }
  }
  return error_response({404, "no such path", {}, "not_found"});
}

Service::Answer Service::post(const HttpRequest& request) {
  if (request.path == "/v1/chat/completions") return complete(request, true);
  if (request.path == "/v1/completions") return complete(request, false);
  if (request.path == "/v1/quote") return quote(request);
  if (request.path == "/tokenize") return tokenize(request);
  if (request.path == "/detokenize") return detokenize(request);
  if (request.path == "/apply-template") return apply_template(request);
  return error_response({404, "no such path", {}, "not_found"});
}

Service::Answer Service::complete(const HttpRequest& http, bool chat) {
  if (draining_) {
    return error_response({503, "the server is shutting down", {}, "shutting_down"});
  }
  ApiResult<CompletionRequest> request = read_completion_request(http.body, chat);
  if (!request.ok()) return error_response(request.error());
  if (const auto error = check_model(request.value().model)) return error_response(*error);
  ApiResult<std::vector<GenerationOptions>> options = prepare_generations(request.value(), model_);
  if (!options.ok()) return error_response(options.error());
  char id[40];
  std::snprintf(id, sizeof id, "%s-%016llx", chat ? "chatcmpl" : "cmpl",
                static_cast<unsigned long long>(next_id_++));
  CompletionJob job(std::move(request.value()), model_, id, seconds_now(), options.value());
  return std::make_unique<Completion>(Completion{std::move(job), std::move(options.value())});
}

// The exact time of a completion that is not run.
HttpResponse Service::quote(const HttpRequest& http) {
  ApiResult<Json> body = parse_body(http.body);
  if (!body.ok()) return error_response(body.error());
  const bool chat = find_member(body.value(), "messages") != nullptr;
  ApiResult<CompletionRequest> request = read_completion_request(http.body, chat);
  if (!request.ok()) return error_response(request.error());
  if (const auto error = check_model(request.value().model)) return error_response(*error);
  ApiResult<std::vector<GenerationOptions>> options = prepare_generations(request.value(), model_);
  if (!options.ok()) return error_response(options.error());
  const double hertz = model_.roll->target.clock_mhz * 1e6;
  OrderedJson choices = OrderedJson::array();
  std::uint64_t total = 0;
  for (const GenerationOptions& one : options.value()) {
    const int prompt = static_cast<int>(one.prompt.size());
    const int cached =
        one.reuse_prefix && !one.score_prompt ? engine_->cached_tokens(one.prompt) : 0;
    const auto whole = quote_generation(*model_.roll, prompt, 0, one.tokens_max);
    const auto now = quote_generation(*model_.roll, prompt, cached, one.tokens_max);
    if (!whole.ok()) return error_response(to_api_error(whole.error()));
    if (!now.ok()) return error_response(to_api_error(now.error()));
    total += whole->cycles;
    choices.push_back(
        {{"prompt_tokens", prompt},
         {"completion_tokens", one.tokens_max},
         {"launches", whole->launches},
         {"cycles", whole->cycles},
         {"first_token_cycles", whole->first_token_cycles},
         {"seconds", static_cast<double>(whole->cycles) / hertz},
         {"first_token_seconds", static_cast<double>(whole->first_token_cycles) / hertz},
         {"cached_tokens", cached},
         {"cycles_with_cache", now->cycles}});
  }
  return json_response({{"object", "quote"},
                        {"model", model_.id},
                        {"target", model_.roll->target.name},
                        {"clock_mhz", model_.roll->target.clock_mhz},
                        {"cycles", total},
                        {"seconds", static_cast<double>(total) / hertz},
                        {"choices", std::move(choices)}});
}

HttpResponse Service::tokenize(const HttpRequest& http) {
  ApiResult<Json> body = parse_body(http.body);
  if (!body.ok()) return error_response(body.error());
  BodyFields fields(body.value());
  const auto content = fields.text("content");
  const bool add_special = fields.boolean("add_special").value_or(false);
  const bool parse_special = fields.boolean("parse_special").value_or(true);
  if (!content) fields.fail("content", "expected a string", "missing_parameter");
  if (const auto error = fields.error()) return error_response(*error);
  const auto ids =
      model_.tokenizer->encode(*content, {.add_bos = add_special, .parse_special = parse_special});
  if (!ids.ok()) return error_response(to_api_error(ids.error(), "content"));
  return json_response({{"tokens", *ids}});
}

HttpResponse Service::detokenize(const HttpRequest& http) {
  ApiResult<Json> body = parse_body(http.body);
  if (!body.ok()) return error_response(body.error());
  BodyFields fields(body.value());
  const Json* tokens = fields.find("tokens");
  std::vector<int> ids;
  if (tokens == nullptr || !tokens->is_array() || tokens->size() > kTokensMax) {
    fields.fail("tokens", "expected an array of token ids");
  } else {
    for (const Json& token : *tokens) {
      const bool known = token.is_number_unsigned() &&
                         token.get<std::uint64_t>() <
                             static_cast<std::uint64_t>(model_.roll->metadata.model.vocabulary);
      if (!known) {
        fields.fail("tokens",
                    "expected ids below " + std::to_string(model_.roll->metadata.model.vocabulary));
        break;
      }
      ids.push_back(token.get<int>());
    }
  }
  if (const auto error = fields.error()) return error_response(*error);
  return json_response({{"content", model_.tokenizer->decode(ids, {.skip_special = false})}});
}

// The prompt that a chat's messages become.
HttpResponse Service::apply_template(const HttpRequest& http) {
  ApiResult<CompletionRequest> request = read_completion_request(http.body, true);
  if (!request.ok()) return error_response(request.error());
  ApiResult<std::string> text = model_.chat.text(request.value());
  if (!text.ok()) return error_response(text.error());
  return json_response({{"prompt", text.value()}});
}

// What the units do in a part of an entry's schedule.
HttpResponse Service::timeline(const HttpRequest& http) {
  Result<TimelineQuery> query = parse_timeline_query(http.query);
  if (!query.ok()) return error_response(to_api_error(query.error()));
  Result<OrderedJson> timeline = report_.timeline(*query);
  if (!timeline.ok()) return error_response(to_api_error(timeline.error()));
  return json_response(*timeline);
}

bool Service::is_slow(const HttpRequest& request) {
  return request.path == "/v1/quote" || request.path == "/pianola/timeline";
}

HttpResponse Service::health() const {
  HttpResponse response = json_response({{"status", draining_ ? "shutting down" : "ok"}});
  if (draining_) response.status = 503;
  return response;
}

OrderedJson Service::describe_model() const {
  const RollModel& facts = model_.roll->metadata.model;
  return {{"id", model_.id},
          {"object", "model"},
          {"created", model_.created},
          {"owned_by", "pianola"},
          {"pianola",
           {{"architecture", facts.architecture},
            {"context", facts.context},
            {"vocabulary", facts.vocabulary},
            {"quantization", facts.quantization},
            {"target", model_.roll->target.name},
            {"clock_mhz", model_.roll->target.clock_mhz},
            {"executor", model_.executor},
            {"fingerprint", model_.fingerprint}}}};
}

}  // namespace pianola
