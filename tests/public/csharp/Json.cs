// Of System.Text.Json, which Mono has not, what the client of the reference uses.
using System.Collections.Generic;
using System.Text;
using System.Web.Script.Serialization;

namespace System.Text.Json {
  public class JsonElement {
    readonly object value;
    public JsonElement(object value) { this.value = value; }
    public JsonElement GetProperty(string name) { return new JsonElement(((Dictionary<string, object>)value)[name]); }
    public string GetString() { return (string)value; }
    public override string ToString() { return new JavaScriptSerializer().Serialize(value); }
  }

  public class JsonDocument {
    public JsonElement RootElement { get; private set; }
    public static JsonDocument Parse(byte[] utf8) {
      var value = new JavaScriptSerializer().DeserializeObject(Encoding.UTF8.GetString(utf8));
      return new JsonDocument { RootElement = new JsonElement(value) };
    }
  }
}
