// Values of JSON schemas between fixed texts.
#include "host/grammar/convert_schema.h"

namespace pianola {

Result<Grammar> Grammar::from_framed_schemas(std::span<const FramedSchema> schemas,
                                             const Frame& frame) {
  GrammarBuilder builder;
  JsonRules rules(builder);
  std::vector<GrammarBuilder::Sequence> alternatives;
  for (const FramedSchema& framed : schemas) {
    TRY(const GrammarBuilder::Sequence value, convert_schema(framed.schema, builder, rules));
    alternatives.push_back(
        rules.concatenate({builder.literal(framed.before), value, builder.literal(framed.after)}));
  }
  const GrammarBuilder::Sequence item = {builder.rule(std::move(alternatives))};
  const GrammarBuilder::Sequence more = rules.concatenate({builder.literal(frame.separator), item});
  return finish_schema(
      builder, builder.rule({rules.concatenate({builder.literal(frame.begin),
                                                item,
                                                {builder.repeat(more, 0, frame.items_max - 1)},
                                                builder.literal(frame.end)})}));
}

}  // namespace pianola
