//! Names as types: an id of one kind cannot be taken for another.

macro_rules! id {
    ($($name:ident),*) => {$(
        impl $name {
            /// Takes the name as it stands in the configuration.
            pub fn new(name: impl Into<Arc<str>>) -> Self {
                Self(name.into())
            }
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
pub(crate) use id;
