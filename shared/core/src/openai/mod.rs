//! OpenAI's wire types, as far as a gateway needs them.

pub mod error;

/// What a request asks for, told from its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `/chat/completions`
    Chat,
    /// `/completions`
    TextCompletion,
    /// `/embeddings`
    Embeddings,
    /// `/responses`
    Responses,
    /// `/messages` (Anthropic)
    Messages,
    /// Anything else that carries a model: images, audio, moderations, rerank, …
    Other,
}

impl Operation {
    /// Tells the operation from the path, query left out.
    #[must_use]
    pub fn of_path(path: &str) -> Self {
        let path = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        [
            ("/chat/completions", Self::Chat),
            ("/completions", Self::TextCompletion),
            ("/embeddings", Self::Embeddings),
            ("/responses", Self::Responses),
            ("/messages", Self::Messages),
        ]
        .into_iter()
        .find_map(|(suffix, operation)| path.ends_with(suffix).then_some(operation))
        .unwrap_or(Self::Other)
    }

    /// Its name in facts, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::TextCompletion => "text_completion",
            Self::Embeddings => "embeddings",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::Other => "other",
        }
    }

    /// The inverse of [`Self::name`]; an unknown name is [`Self::Other`].
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        [Self::Chat, Self::TextCompletion, Self::Embeddings, Self::Responses, Self::Messages]
            .into_iter()
            .find(|operation| operation.name() == name)
            .unwrap_or(Self::Other)
    }
}
