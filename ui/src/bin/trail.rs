//! The pages of one request.

fn main() {
    ui::trail();
}
