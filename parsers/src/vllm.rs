//! What a parser says about a line it could not read: format, position, what was expected and what
//! was found.
