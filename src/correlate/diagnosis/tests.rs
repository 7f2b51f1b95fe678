//! The rules on captures of real gateways, cut down, and on streams made by hand.
