// Of the package Microsoft.IdentityModel.JsonWebTokens what the example of the reference uses, with the same names and
// types. The package itself can't be had everywhere: so it is the example's own words that are proved, not the package.
using System;
using System.Collections.Generic;
using System.Security.Cryptography;
using System.Text;
using System.Web.Script.Serialization;
using Microsoft.IdentityModel.Tokens;

namespace Microsoft.IdentityModel.Tokens {
  public abstract class SecurityKey { }

  public class SymmetricSecurityKey : SecurityKey {
    public SymmetricSecurityKey(byte[] key) { Key = key; }
    public byte[] Key { get; private set; }
  }

  public static class SecurityAlgorithms {
    public const string HmacSha256 = "HS256";
  }

  public class SigningCredentials {
    public SigningCredentials(SecurityKey key, string algorithm) { Key = key; Algorithm = algorithm; }
    public SecurityKey Key { get; private set; }
    public string Algorithm { get; private set; }
  }

  public class SecurityTokenDescriptor {
    public string Audience { get; set; }
    public DateTime? Expires { get; set; }
    public IDictionary<string, object> Claims { get; set; }
    public SigningCredentials SigningCredentials { get; set; }
  }
}

namespace Microsoft.IdentityModel.JsonWebTokens {
  public class JsonWebTokenHandler {
    static string Encode(byte[] bytes) {
      return Convert.ToBase64String(bytes).TrimEnd('=').Replace('+', '-').Replace('/', '_');
    }

    static string Encode(object value) {
      return Encode(Encoding.UTF8.GetBytes(new JavaScriptSerializer().Serialize(value)));
    }

    public string CreateToken(SecurityTokenDescriptor descriptor) {
      var claims = new Dictionary<string, object>(descriptor.Claims);
      claims["aud"] = descriptor.Audience;
      claims["exp"] = (long)(descriptor.Expires.Value - new DateTime(1970, 1, 1)).TotalSeconds;
      var head = new Dictionary<string, object> { ["alg"] = descriptor.SigningCredentials.Algorithm };
      var text = Encode(head) + "." + Encode(claims);
      var key = ((SymmetricSecurityKey)descriptor.SigningCredentials.Key).Key;
      using (var hmac = new HMACSHA256(key)) return text + "." + Encode(hmac.ComputeHash(Encoding.UTF8.GetBytes(text)));
    }
  }
}
